"""An image's own layers: from the cache where their inputs are the same, else written and kept there."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from cdaf import ASSEMBLER_REVISION, places, progress, store, typed
from cdaf.errors import BundleError, CdafError, ImageError
from cdaf.images import coder, layer, listing, oci, plan
from cdaf.images.content import Contents

_LISTINGS = "listings"


class _Memo(msgspec.Struct, frozen=True, array_like=True):
    """A layer that was written; `written` is when its blob was, in nanoseconds, as its file has it."""

    digest: str
    diff_id: str
    size: int
    written: int = 0


class Promise(msgspec.Struct, frozen=True):
    """A layer as it was foretold; whoever writes those very bytes again need not inflate them for their diff id."""

    digest: str
    diff_id: str
    size: int


def ensure(
    layers: Sequence[plan.Layer],
    contents: Contents,
    compression: str,
    promised: Sequence[Promise] = (),
    written: Callable[[oci.Layer], None] = lambda _: None,
) -> tuple[oci.Layer, ...]:
    """The layers from the cache where their inputs are the same, else written, some at a time.

    `written` is told of each that was written and is the one promised, as soon as it is there.
    """
    dirs = plan.folders(layers)
    promises = promised if len(promised) == len(layers) else (None,) * len(layers)
    keys = [_key(each, contents, dirs, compression) for each in layers]
    known = [_known(*each, compression) for each in zip(layers, keys, promises, strict=True)]
    if all(known):
        return tuple(filter(None, known))
    from concurrent.futures import ThreadPoolExecutor

    def made(found: oci.Layer | None, wanted: plan.Layer, key: str, promise: Promise | None) -> oci.Layer:
        if found is not None:
            return found
        new = _made(wanted, contents, dirs, compression, key, promise)
        if promise is not None and new.digest == promise.digest:
            written(new)
        return new

    # What is only copied is the interpreter's own work, and its threads would wait for one another.
    with ThreadPoolExecutor(1 if all(promises) and compression == "gzip" else places.workers()) as pool:
        return tuple(pool.map(made, known, layers, keys, promises))


def _made(
    wanted: plan.Layer,
    contents: Contents,
    dirs: Mapping[str, plan.Dir],
    compression: str,
    key: str,
    promise: Promise | None,
) -> oci.Layer:
    made = _write(wanted, contents, dirs, compression, promise)
    # A promised diff id is another's word: it serves his image, and is not kept for others'.
    diff_id = "" if promise else made.diff_id
    written = store.intact("blobs", oci.hexed(made.digest), made.size)
    store.remember(_kind(promise), key, msgspec.json.encode(_Memo(made.digest, diff_id, made.size, written)))
    return made


def _kind(promise: Promise | None) -> str:
    return "copies" if promise else "layers"


def _known(wanted: plan.Layer, key: str, promise: Promise | None, compression: str) -> oci.Layer | None:
    for kind in ("layers", "copies") if promise else ("layers",):
        told = store.recall(kind, key)
        if told is None:
            continue
        memo = typed.decode(told, _Memo)
        if promise and not memo.diff_id and memo.digest != promise.digest:
            continue
        name = oci.hexed(memo.digest)
        listed = promise is not None or store.recall(_LISTINGS, name) is not None
        written = store.intact("blobs", name, memo.size, memo.written) if listed else 0
        if written and written != memo.written:
            store.remember(kind, key, msgspec.json.encode(msgspec.structs.replace(memo, written=written)))
        if written:
            diff_id = memo.diff_id or (promise.diff_id if promise else "")
            media_type, path = oci.LAYERS[compression], store.path("blobs", name)
            return oci.Layer(memo.digest, diff_id, memo.size, media_type, wanted.name, path)
    return None


def _write(
    wanted: plan.Layer, contents: Contents, dirs: Mapping[str, plan.Dir], compression: str, promise: Promise | None
) -> oci.Layer:
    total = sum(contents[name].size for name in plan.members((wanted,)))
    with store.writing("blobs") as (file, temporary), progress.transfer(f"layer {wanted.name}", total) as moved:
        stream = coder.stream(file, compression, diff=promise is None)
        try:
            rows = layer.write(wanted, contents, dirs, stream)
        except BundleError:
            raise
        except CdafError as error:
            label = f"layer {wanted.name}: "
            raise ImageError(label + error.message.removeprefix(label), error.hint) from error
        digest, diff_id = stream.finish()
        file.flush()
        moved(total)
        path = store.keep(temporary, "blobs", oci.hexed(digest))
    if promise is None:
        store.remember(_LISTINGS, oci.hexed(digest), listing.lines(rows))
    elif promise.digest == digest:
        diff_id = promise.diff_id
    else:
        return _write(wanted, contents, dirs, compression, None)
    return oci.Layer(digest, diff_id, stream.size, oci.LAYERS[compression], wanted.name, path)


def _key(wanted: plan.Layer, contents: Contents, dirs: Mapping[str, plan.Dir], compression: str) -> str:
    missing = sorted(plan.members((wanted,)) - set(contents))
    if missing:
        raise ImageError(f"layer {wanted.name}: the bundle has no {', '.join(missing)}", "package the service again")
    told = (
        ASSEMBLER_REVISION,
        compression,
        wanted.entries,
        {name: contents[name].sha256 for name in plan.members((wanted,))},
        dirs,
    )
    return hashlib.sha256(msgspec.json.encode(told, order="sorted")).hexdigest()


def listings(named: Iterable[tuple[str, str]]) -> bytes:
    """What layers that were written here hold, entry by entry; each by its name and digest."""
    return listing.encode((name, store.recall(_LISTINGS, oci.hexed(digest)) or b"") for name, digest in named)
