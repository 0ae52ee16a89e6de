"""Images from a bundle: exactly those foretold, or an error that names the layer, the file and what is other."""

from pathlib import Path

import msgspec
import pytest

from cdaf import ASSEMBLER_REVISION
from cdaf.bundles import bundle
from cdaf.bundles.bundle import Bundle
from cdaf.bundles.manifest import Layer
from cdaf.errors import BundleError, ImageError
from cdaf.images import building, coder, layer, plan, tarform
from tests import bundlekit

FILES: dict[str, str | bytes] = {
    "flask/__init__.py": "x = 1\n" * 200,
    "flask/app.py": "y = 2\n",
    "flask/__pycache__/app.cpython-313.pyc": bytes(range(256)) * 8,
    "flask-3.1.0.dist-info/RECORD": "",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sealed(tmp_path: Path) -> Bundle:
    return bundlekit.foretold(tmp_path, FILES)


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CDAF_CACHE", str(tmp_path / "another machine"))


def refused(opened: Bundle) -> str:
    with pytest.raises(ImageError) as caught:
        building.images(opened)
    return caught.value.message


def test_another_machine_builds_what_was_foretold_and_inflates_nothing(
    sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, tmp_path)
    monkeypatch.setattr(layer, "_deflated", None)
    (made,) = building.images(bundle.open(sealed.path))
    (foretold,) = sealed.manifest.images
    assert made.digest == foretold.digest
    assert [(each.digest, each.diff_id, each.size) for each in made.layers] == [
        (each.digest, each.diff_id, each.size) for each in foretold.layers
    ]


def test_the_listing_tells_every_entry_of_the_layers(sealed: Bundle) -> None:
    from cdaf.images import listing

    (rows,) = listing.decode(bundle.data(sealed, bundle.listing_name("linux/amd64")))
    (made,) = building.images(sealed)
    assert made.layers[0].path is not None
    assert rows == listing.read(made.layers[0].path)
    assert "app/.venv/lib/python3.13/site-packages/flask/app.py" in {row.path for row in rows}


@pytest.mark.parametrize(
    "odd", [b"[[", b'{"layer": "a", "entries": 2}\n', b'{"layer": "a", "entries": 0, "x": ' + b"[" * 99_999]
)
def test_a_listing_of_no_known_form_is_refused(odd: bytes) -> None:
    from cdaf.images import listing

    with pytest.raises(BundleError, match="a listing of layers that cannot be read"):
        listing.decode(odd)


def test_an_assembler_of_another_revision_is_refused(sealed: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "ASSEMBLER_REVISION", ASSEMBLER_REVISION + 1)
    assert f"was planned for assembler revision {ASSEMBLER_REVISION}" in refused(sealed)


SITE = "app/.venv/lib/python3.13/site-packages/flask"


def test_a_time_that_differs_is_named(sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch, tmp_path)
    monkeypatch.setattr(tarform, "TIME", tarform.TIME + 1)
    told = refused(sealed)
    assert "layer service" in told
    assert "/app has another time (1980-01-01T00:00:00Z foretold, 1980-01-01T00:00:01Z made)" in told
    assert "more" in told


def test_modes_and_owners_that_differ_are_named(
    sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, tmp_path)
    real = tarform.encode

    def other(header: tarform.Header) -> bytes:
        if header.path.endswith("flask/app.py"):
            header = msgspec.structs.replace(header, mode=0o600, uid=7)
        return real(header)

    monkeypatch.setattr(tarform, "encode", other)
    assert f"/{SITE}/app.py has another mode (0644 foretold, 0600 made) and owner (0:0 foretold, 7:0 made)" in refused(
        sealed
    )


def test_another_order_is_named(sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch, tmp_path)
    real = layer._with_parents
    monkeypatch.setattr(layer, "_with_parents", lambda items, dirs: real(items, dirs)[::-1])
    assert "layer service: the order of its entries, from /app on" in refused(sealed)


@pytest.mark.parametrize(
    ("name", "what"), [("flask/app.py", "content"), ("flask/__pycache__/app.cpython-313.pyc", "bytecode")]
)
def test_bytes_that_differ_are_named(
    sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    """An assembler that spreads another member in its place."""
    elsewhere(monkeypatch, tmp_path)
    real = layer.destination
    swapped: dict[str, str] = {name: "flask/__init__.py", "flask/__init__.py": name}

    def crossed(entry: plan.Unpack, member: str) -> tuple[str, int | None]:
        return real(entry, swapped.get(member, member))

    monkeypatch.setattr(layer, "destination", crossed)
    assert f"/app/.venv/lib/python3.13/site-packages/{name} has another {what}" in refused(sealed)


def test_another_compressor_is_named(sealed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(monkeypatch, tmp_path)
    monkeypatch.setattr(coder, "_LEVEL", 1)
    assert "layer service holds what was foretold, compressed otherwise" in refused(sealed)


def test_another_config_is_told_apart_from_layers(sealed: Bundle) -> None:
    (image,) = sealed.plans.images
    other = msgspec.structs.replace(image, config=msgspec.structs.replace(image.config, user="other"))
    changed = msgspec.structs.replace(sealed, plans=msgspec.structs.replace(sealed.plans, images=(other,)))
    assert "its layers are those foretold; its config or its base is another" in refused(changed)


def test_a_diff_id_that_a_bundle_claims_is_not_believed_for_others(sealed: Bundle, tmp_path: Path) -> None:
    """A hostile manifest may promise any diff id; only its own image is the worse for it."""
    (foretold,) = sealed.manifest.images
    lie: Layer = msgspec.structs.replace(foretold.layers[0], diff_id="sha256:" + "0" * 64)
    told = msgspec.structs.replace(sealed.manifest, images=(msgspec.structs.replace(foretold, layers=(lie,)),))
    (tmp_path / "cache").rename(tmp_path / "away")
    assert "its config or its base is another" in refused(msgspec.structs.replace(sealed, manifest=told))
    assert building.images(sealed)[0].digest == foretold.digest
