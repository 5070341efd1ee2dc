"""Which photos are explained."""

from glr_keras.explaining.options import parse_arguments
from glr_keras.explaining.photos import named_photos


def test_a_link_out_of_a_folder_is_followed_only_if_asked_for(tmp_path, capsys):
    for name in ("album", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jpg").touch()
    (tmp_path / "album" / "link").symlink_to(tmp_path / "elsewhere")
    for flags, expected in (([], ["a.jpg"]), (["--follow-links"], ["a.jpg", "link/a.jpg"])):
        args = parse_arguments(["run", str(tmp_path / "album"), *flags])
        found = named_photos(args.photos, args.follow_links)
        assert [one.name for one in found] == [str(tmp_path / "album" / one) for one in expected]
    assert f"warning: {tmp_path}/album/link: link: a link out of" in capsys.readouterr().err
