"""runtime/web in Node: the same latents, pixels and sentences as in Python."""

import base64
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from avatar_export.formats.html_page import DECODE, encode
from avatar_runtime import AvatarGenerator
from avatar_runtime.errors import AvatarError
from avatar_runtime.generator import embedded_model
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.web_sources import embedded_module
from tiny_model import tiny_weights, write_tiny_model
from web.conftest import WEB, rgb

HERE = Path(__file__).parent
NAMES = ["", "alice", "アリス", "zoë", "S/7", "\U0001f600"]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(node: str) -> Ask:
    """Call a method of the generator of a model in Node."""

    def ask(model: Path, *request: Any) -> dict[str, Any]:
        command = [node, str(HERE / "draw.js"), str(model), json.dumps(request)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return ask


def images(answer: dict[str, Any]) -> UInt8:
    """Those of an answer: uint8 [N, H, W, 3]."""
    return np.stack([rgb(base64.b64decode(image)) for image in answer["pixels"]])


def levels(one: UInt8, other: UInt8) -> int:
    """The largest difference, of 255; grey counts as three equal channels."""
    return int(np.abs(one.astype(np.int16) - other).max())


def test_javascripts_own_tests_pass(node: str) -> None:
    done = subprocess.run([node, "--test", str(HERE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "# fail 0" in done.stdout


@pytest.mark.parametrize(("output", "channels"), [("uint8", 3), ("uint8", 1), ("float32", 3), ("float32", 1)])
def test_floats_are_drawn_by_onnxruntime_web(ask: Ask, tmp_path: Path, output: str, channels: int) -> None:
    model = tmp_path / "tiny.onnx"
    write_tiny_model(model, tiny_weights(channels=channels), output)
    python = AvatarGenerator.load(model)
    assert levels(images(ask(model, "generate", NAMES)), python.generate(NAMES)) <= 1
    options = {"seed": "S", "truncation": 0.7, "batchSize": 3}
    assert levels(images(ask(model, "generate", 7, options)), python.generate(7, seed="S", truncation=0.7)) <= 1


def test_without_onnxruntime_web_floats_are_refused_with_what_to_do(node: str, tiny_model: Path) -> None:
    script = f"""import {{ AvatarGenerator }} from {json.dumps((WEB / "src" / "index.js").as_uri())};
    const model = {json.dumps(str(tiny_model))};
    await AvatarGenerator.load(model).catch(({{ code, message }}) => console.log(code, message));"""
    command = [node, "--input-type=module", "-e", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"unsupported {tiny_model}: ")
    assert 'import("onnxruntime-web/wasm")' in done.stdout


def test_the_engine_draws_pythons_bytes(ask: Ask) -> None:
    python = AvatarGenerator.load()
    drawn = images(ask(embedded_model(), "generate", 300, {"seed": "engine"}))
    assert np.array_equal(drawn, python.generate(300, seed="engine"))
    assert ask(embedded_model(), "verify")["pixels"] == [0]
    frames = python.interpolate("alice", "bob", 20)
    assert np.array_equal(images(ask(embedded_model(), "interpolate", "alice", "bob", 20)), frames)
    mixed = python.mix("alice", "bob", 0.25)
    assert np.array_equal(images(ask(embedded_model(), "mix", "alice", "bob", 0.25))[0], mixed)


def test_pythons_embedded_module_is_npms_but_for_where_the_model_is(node: str) -> None:
    *python, _ = embedded_module(embedded_model().read_bytes()).splitlines()
    *npm, _ = (WEB / "src" / "embedded.js").read_text("utf-8").splitlines()
    assert python == npm


def test_the_model_package_says_which_major_version_holds_its_model(node: str) -> None:
    model_id = AvatarGenerator.load().model_id
    package = json.loads((WEB / "model" / "package.json").read_text("utf-8"))
    major = package["version"].split(".")[0]
    assert f"{major}.x.x holds `{model_id}`" in (WEB / "model" / "README.md").read_text("utf-8")
    assert json.loads((WEB / "package.json").read_text("utf-8"))["dependencies"] == {package["name"]: f"^{major}.0.0"}
    ask = "const { AvatarGenerator } = await import('avatar-runtime-web');"
    ask += "console.log((await AvatarGenerator.load()).modelId);"
    done = subprocess.run([node, "--input-type=module", "-e", ask], cwd=WEB, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == model_id


@pytest.mark.parametrize("entry", [".", "./element", "./react"])
def test_importing_it_on_a_server_changes_nothing(node: str, entry: str) -> None:
    name = f"avatar-runtime-web{entry[1:]}"  # inside the package its own name works
    script = f"""const before = Object.getOwnPropertyNames(globalThis).join();
    await import({json.dumps(name)});
    if (Object.getOwnPropertyNames(globalThis).join() !== before) throw new Error("it left something behind");"""
    subprocess.run([node, "--input-type=module", "-e", script], cwd=WEB, check=True)


def test_names_and_codes_survive_a_minifier(node: str, tmp_path: Path) -> None:
    esbuild = WEB / "node_modules" / ".bin" / "esbuild"
    (tmp_path / "main.js").write_text(
        f"""import {{ AvatarGenerator, InputError }} from {json.dumps(str(WEB / "src" / "index.js"))};
        const model = {json.dumps(str(embedded_model()))};
        const tell = (error) => console.log(error.name, error.code, `${{error}}`.slice(0, 14));
        await AvatarGenerator.load("/missing").catch(tell);
        const [alice] = await (await AvatarGenerator.load(model)).generate(["alice"]);
        console.log(alice.data.length, new InputError("x").name);"""
    )
    bundle = ["--bundle", "--minify", "--format=esm", "--outfile=out.mjs"]
    subprocess.run([esbuild, "main.js", *bundle], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([node, "out.mjs"], cwd=tmp_path, check=True, capture_output=True, text=True)
    size = 4 * AvatarGenerator.load().spec.image_size ** 2
    assert done.stdout.split("\n")[:2] == ["ModelFileError unreachable ModelFileError", f"{size} InputError"]


def test_the_packed_package_does_what_its_readme_says(
    node: str, npm: str, tarballs: dict[str, Path], tmp_path: Path
) -> None:
    """Installed by npm without a network: the two need nothing else, and run nothing."""
    (tmp_path / "package.json").write_text('{"private": true}')
    install: list[str | Path] = [npm, "install", "--offline", *tarballs.values()]
    done = subprocess.run(install, cwd=tmp_path, capture_output=True, check=True, text=True)
    assert "warn" not in done.stdout + done.stderr
    package, model = (tmp_path / "node_modules" / name for name in tarballs)
    assert {path.name for path in package.iterdir()} == {"LICENSE", "README.md", "package.json", "src"}
    assert {path.name for path in model.iterdir()} == {
        *("LICENSE", "README.md", "package.json", "index.js", "index.d.ts"),
        *("model.onnx", "model.onnx.d.ts"),
    }
    readme = (package / "README.md").read_text("utf-8")
    assert all(tarball.name in readme for tarball in tarballs.values())
    (script,) = [block for block in re.findall(r"```js\n(.*?)```", readme, re.DOTALL) if "node:" in block]
    (tmp_path / "readme.mjs").write_text(script, encoding="utf-8")
    subprocess.run([node, "readme.mjs"], cwd=tmp_path, check=True)
    assert np.array_equal(rgb((tmp_path / "alice.rgba").read_bytes()), AvatarGenerator.load().generate(["alice"])[0])


@pytest.mark.parametrize(
    "changes",
    [
        None,
        "{",
        {"format_version": 99},
        {"latent_scheme": "another"},
        {"image_size": 0},
        {"image_size": 2**31},
        {"kind": "scorer"},
    ],
    ids=str,
)
def test_a_model_that_is_refused_is_refused_in_the_same_words(
    ask: Ask, tiny_model: Path, tmp_path: Path, changes: dict[str, Any] | str | None
) -> None:
    """Without metadata, with damaged metadata, and with other values in them."""
    model = onnx.load(tiny_model)
    entry = model.metadata_props[0]
    if changes is None:
        del model.metadata_props[:]
    else:
        entry.value = changes if isinstance(changes, str) else json.dumps({**json.loads(entry.value), **changes})
    path = tmp_path / "spoilt.onnx"
    onnx.save(model, path)
    with pytest.raises(AvatarError) as refusal:
        AvatarGenerator.load(path)
    answer = ask(path, "verify")
    assert answer["name"] == type(refusal.value).__name__
    assert answer["code"] in ("damaged", "not-ours", "newer")

    def sentence(text: str) -> str:
        return text.split("(")[0].split(";")[0]  # the reason inside differs, and so does the command that mends it

    assert sentence(answer["message"]) == sentence(str(refusal.value))


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x08" + bytes(100)])
def test_what_is_no_model_is_refused(ask: Ask, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "no.onnx"
    path.write_bytes(data)
    answer = ask(path, "verify")
    assert answer["name"] == "ModelFileError"
    sentence = answer["message"].removeprefix(f"{path}: ")
    assert sentence.startswith(("it is not an ONNX model", "it is an ONNX model, but", "the file is empty"))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (["generate", "alice"], "names must be"),
        (["generate", 0], "at least 1"),
        (["generate", [3]], "a name must be a string"),
        (["generate", 2, {"seed": None}], "a seed must be text"),
        (["generate", ["a"], {"truncation": 3}], "truncation must be"),
        (["generate", ["a"], {"batchSize": 0}], "batchSize must be"),
        (["interpolate", "a", "b", 1], "number of frames"),
        (["mix", "a", "b", 1.5], "from 0 to 1"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(ask: Ask, tiny_model: Path, request_: list[Any], words: str) -> None:
    answer = ask(tiny_model, *request_)
    assert answer["name"] == "InputError"
    assert words in answer["message"]


def test_the_one_file_page_reads_bytes_of_every_length(node: str) -> None:
    data = [bytes(range(256)) * 9 + b"\xff" * n for n in range(9)] + [b"\xff" * n for n in range(9)]
    script = f"{DECODE} const texts = {json.dumps([encode(one) for one in data])};"
    script += "console.log(JSON.stringify(texts.map((text) => Buffer.from(decode(text)).toString('hex'))));"
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [one.hex() for one in data]


def test_types_fit_sources_and_users(node: str, npm: str) -> None:
    done = subprocess.run([npm, "run", "types"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
