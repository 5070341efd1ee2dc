"""OpenAPI's description of the API: what programs read to call it."""

from glr_keras.serving.limits import Limits
from glr_keras.serving.queries import MAX_NEIGHBOURS, MAX_TOP

TEXT, NUMBER, WHOLE, FLAG = ({"type": one} for one in ("string", "number", "integer", "boolean"))
FILE = {"type": "string", "format": "binary"}


def describe_api(limits: Limits) -> dict:
    """Returns an OpenAPI 3.1 document, to be sent as JSON."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("glr-keras")
    except PackageNotFoundError:  # run from a checkout that is not installed
        number = "0"
    megabytes = f"{limits.photo_bytes / 1e6:g} MB"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "glr-keras",
            "version": number,
            "description": "Names the landmark that a photo shows, and where the model looked.",
        },
        "paths": {
            "/predict": {"post": _predict(megabytes)},
            "/preview": {
                "post": {
                    "summary": "The photo as the model has it, as JPEG",
                    "requestBody": _photo(megabytes),
                    "responses": {"200": _binary("image/jpeg"), **_errors()},
                }
            },
            "/model": {"get": _get("Landmarks and limits of the model", _model())},
            "/photos/{split}/{number}.jpg": {
                "get": {
                    "summary": "A photo of the records",
                    "parameters": [
                        _parameter("split", "path", TEXT),
                        _parameter("number", "path", WHOLE),
                    ],
                    "responses": {"200": _binary("image/jpeg"), "404": _error("No such photo")},
                }
            },
            "/openapi.json": {"get": _get("This description", {"type": "object"})},
            "/healthz": {"get": _get("Whether the server answers", _object(status=TEXT))},
        },
        "components": {"schemas": {"Answer": _answer(), "Error": _object(error=TEXT, detail=TEXT)}},
    }


def _predict(megabytes):
    top = {**WHOLE, "minimum": 1, "maximum": MAX_TOP, "default": 5}
    neighbours = {**WHOLE, "minimum": 0, "maximum": MAX_NEIGHBOURS, "default": 0}
    return {
        "summary": "Names the landmark that a photo shows",
        "parameters": [
            _parameter("top", "query", top, "How many landmarks to name"),
            _parameter("landmark", "query", TEXT, "What map and neighbours are about (runs only)"),
            _parameter("neighbours", "query", neighbours, "How many known photos to name"),
        ],
        "requestBody": _photo(megabytes),
        "responses": {
            "200": _json("What it shows", {"$ref": "#/components/schemas/Answer"}),
            **_errors(),
        },
    }


def _answer():
    reference = {"landmark": TEXT, "photo": {**TEXT, "description": "Address, relative"}}
    nullable_flag, nullable_number = {"type": ["boolean", "null"]}, {"type": ["number", "null"]}
    values = _list(_list(NUMBER))
    return _object(
        landmarks=_list(_object(landmark=TEXT, score=NUMBER)),
        is_landmark={**nullable_flag, "description": "False: none of the landmarks. Null: unknown"},
        p_value={**nullable_number, "description": "How usual the answer is for known landmarks"},
        photo=_object(width=WHOLE, height=WHOLE),
        map=_object(
            kind={"enum": ["attention", "class", "grad-cam"]},
            landmark={"type": ["string", "null"]},
            window={**_list(NUMBER), "description": "ymin, xmin, ymax, xmax, parts of the photo"},
            values={**values, "description": "Rows of cells in [0, 1] on the window"},
        ),
        neighbours=_list(_object(**reference, similarity=NUMBER)),
    )


def _model():
    return _object(
        name=TEXT,
        landmarks=_list(TEXT),
        image_size=WHOLE,
        map=TEXT,
        has_landmark_maps=FLAG,
        max_bytes=WHOLE,
        examples=_list(_object(landmark=TEXT, photo=TEXT)),
        photos_note=TEXT,
        is_loading_photos=FLAG,
        colours=_list(_list(WHOLE)),
    )


def _photo(megabytes):
    form = _object(photo=FILE)
    return {
        "required": True,
        "description": f"A photo of at most {megabytes}: JPEG, PNG, WebP, GIF, TIFF, AVIF, ...",
        "content": {
            "image/*": {"schema": FILE},
            "application/octet-stream": {"schema": FILE},
            "multipart/form-data": {"schema": form},
        },
    }


def _errors():
    texts = {
        400: "A parameter, or no photo",
        403: "A foreign host or origin",
        408: "The photo came too slowly",
        413: "Too many bytes or pixels",
        415: "No photo, by its content",
        422: "A photo that can't be used: damaged, too small",
        503: "Too many at once; see Retry-After",
    }
    return {str(status): _error(text) for status, text in texts.items()}


def _get(summary, schema):
    return {"summary": summary, "responses": {"200": _json(summary, schema)}}


def _parameter(name, place, schema, description=""):
    found = {"name": name, "in": place, "schema": schema, "required": place == "path"}
    return found | ({"description": description} if description else {})


def _error(text):
    return _json(text, {"$ref": "#/components/schemas/Error"})


def _json(description, schema):
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _binary(kind):
    return {"description": "The photo", "content": {kind: {"schema": FILE}}}


def _list(items):
    return {"type": "array", "items": items}


def _object(**properties):
    return {"type": "object", "properties": properties, "required": list(properties)}
