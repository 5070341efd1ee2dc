"""Draws where the model looked, a PNG per photo. No TensorFlow here."""

from pathlib import Path

from PIL import Image

from tfrecords.common.types import one_line


def draw_map(explanation, path, number, folder):
    from glr_keras.reporting.figures import overlay_heatmap  # matplotlib takes a second to import

    picture = overlay_heatmap(explanation.view, explanation.attention_map)
    # A name takes 255 bytes, whatever its script.
    stem = one_line(Path(path).stem).replace("/", "_").encode()[:200].decode(errors="ignore")
    target = folder / f"{number:06d}-{stem}.png"
    temporary = target.with_suffix(".tmp")
    Image.fromarray(picture.round().astype("uint8")).save(temporary, "PNG")
    temporary.replace(target)
    return str(target)
