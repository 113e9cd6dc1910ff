"""Files of PySlowFast, mmaction2 and Video Swin Transformer load into the networks of the same make.

The names on the right are those of the projects' own modules (the files are named in each plugin's ``convert.py``). A
network is written out under them, loaded, and must answer as before.
"""

from __future__ import annotations

import re

import pytest
import torch
from vidcore.assemble import create
from vidcore.errors import WeightsError
from vidcore.weights.rename import renamed

_PYSLOWFAST_BLOCK = [
    (r"\.branch1_conv\.", ".branch1."),
    (r"\.branch1_norm\.", ".branch1_bn."),
    (r"\.branch2\.conv_([abc])\.", r".branch2.\1."),
    (r"\.branch2\.norm_b\.1\.block\.0\.", ".branch2.se.fc1."),
    (r"\.branch2\.norm_b\.1\.block\.2\.", ".branch2.se.fc2."),
    (r"\.branch2\.norm_([abc])\.(0\.)?", r".branch2.\1_bn."),
]
_MMACTION_BLOCK = [
    (r"\.branch1_conv\.", ".downsample.conv."),
    (r"\.branch1_norm\.", ".downsample.bn."),
    (r"\.branch2\.norm_b\.1\.block\.0\.", ".se_module.fc1."),
    (r"\.branch2\.norm_b\.1\.block\.2\.", ".se_module.fc2."),
    *((rf"\.branch2\.conv_{letter}\.", f".conv{n}.conv.") for n, letter in enumerate("abc", 1)),
    *((rf"\.branch2\.norm_{letter}\.(0\.)?", f".conv{n}.bn.") for n, letter in enumerate("abc", 1)),
]


def _stages(blocks: tuple[int, ...], start: str, replacement: str, first: int) -> list[tuple[str, str]]:
    """Blocks of PyTorchVideo's network to the stages of another."""
    return [(start.format(block), replacement.format(number)) for number, block in enumerate(blocks, first)]


def _pyslowfast(*blocks: int) -> list[tuple[str, str]]:
    return [
        (r"^blocks\.0\.norm\.", "s1.pathway0_stem.bn."),
        (r"^blocks\.0\.", "s1.pathway0_stem."),
        *_stages(blocks, r"^blocks\.{}\.res_blocks\.", "s{}.pathway0_res", 2),
        *_PYSLOWFAST_BLOCK,
    ]


def _mmaction(*blocks: int) -> list[tuple[str, str]]:
    return [
        (r"^blocks\.0\.conv\.", "backbone.conv1.conv."),
        (r"^blocks\.0\.norm\.", "backbone.conv1.bn."),
        *_stages(blocks, r"^blocks\.{}\.res_blocks\.", "backbone.layer{}.", 1),
        *_MMACTION_BLOCK,
    ]


SLOWFAST_PYSLOWFAST = [
    rule
    for i in range(5)
    for rule in (
        (rf"^blocks\.{i}\.multipathway_fusion\.conv_fast_to_slow\.", f"s{i + 1}_fuse.conv_f2s."),
        (rf"^blocks\.{i}\.multipathway_fusion\.norm\.", f"s{i + 1}_fuse.bn."),
        (rf"^blocks\.{i}\.multipathway_blocks\.(\d)\.res_blocks\.", rf"s{i + 1}.pathway\1_res"),
        (rf"^blocks\.{i}\.multipathway_blocks\.(\d)\.norm\.", rf"s{i + 1}.pathway\1_stem.bn."),
        (rf"^blocks\.{i}\.multipathway_blocks\.(\d)\.", rf"s{i + 1}.pathway\1_stem."),
    )
] + _PYSLOWFAST_BLOCK
SLOWFAST_MMACTION = [
    (r"^blocks\.0\.multipathway_fusion\.conv_fast_to_slow\.", "backbone.slow_path.conv1_lateral.conv."),
    (r"^blocks\.0\.multipathway_fusion\.norm\.", "backbone.slow_path.conv1_lateral.bn."),
    (r"^blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.", r"backbone.slow_path.layer\1_lateral.conv."),
    (r"^blocks\.(\d)\.multipathway_fusion\.norm\.", r"backbone.slow_path.layer\1_lateral.bn."),
    *(
        rule
        for n, path in enumerate(("slow_path", "fast_path"))
        for rule in (
            (rf"^blocks\.0\.multipathway_blocks\.{n}\.conv\.", f"backbone.{path}.conv1.conv."),
            (rf"^blocks\.0\.multipathway_blocks\.{n}\.norm\.", f"backbone.{path}.conv1.bn."),
            (rf"^blocks\.(\d)\.multipathway_blocks\.{n}\.res_blocks\.", rf"backbone.{path}.layer\1."),
        )
    ),
    *_MMACTION_BLOCK,
]
X3D_PYSLOWFAST = [
    (r"^blocks\.0\.conv\.conv_t\.", "s1.pathway0_stem.conv_xy."),
    (r"^blocks\.0\.conv\.conv_xy\.", "s1.pathway0_stem.conv."),
    (r"^blocks\.5\.pool\.pre_conv\.", "head.conv_5."),
    (r"^blocks\.5\.pool\.pre_norm\.", "head.conv_5_bn."),
    (r"^blocks\.5\.pool\.post_conv\.", "head.lin_5."),
    *_pyslowfast(1, 2, 3, 4),
]
X3D_MMACTION = [
    (r"^blocks\.0\.conv\.conv_t\.", "backbone.conv1_s.conv."),
    (r"^blocks\.0\.conv\.conv_xy\.", "backbone.conv1_t.conv."),
    (r"^blocks\.0\.norm\.", "backbone.conv1_t.bn."),
    (r"^blocks\.5\.pool\.pre_conv\.", "backbone.conv5.conv."),
    (r"^blocks\.5\.pool\.pre_norm\.", "backbone.conv5.bn."),
    (r"^blocks\.5\.pool\.post_conv\.", "cls_head.fc1."),
    *_mmaction(1, 2, 3, 4),
]
SWIN = [
    *((rf"^features\.{2 * i}\.", f"backbone.layers.{i}.blocks.") for i in range(4)),
    *((rf"^features\.{2 * i + 1}\.", f"backbone.layers.{i}.downsample.") for i in range(3)),
    (r"^patch_embed\.", "backbone.patch_embed."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^norm\.", "backbone.norm3."),
]
_MVIT = [
    (r"^pos_encoding\.class_token$", "cls_token"),
    (r"^pos_encoding\.(spatial|temporal|class)_pos$", r"pos_embed_\1"),
    (r"\.attn\.project\.0\.", ".attn.proj."),
    (r"\.attn\.pool_([qkv])\.norm_act\.0\.", r".attn.norm_\1."),
    (r"\.attn\.pool_([qkv])\.pool\.", r".attn.pool_\1."),
    (r"\.mlp\.0\.", ".mlp.fc1."),
    (r"\.mlp\.3\.", ".mlp.fc2."),
    (r"^(blocks\.\d+)\.project\.", r"\1.proj."),
]
MVIT_PYSLOWFAST = [*_MVIT, (r"^conv_proj\.", "patch_embed.proj.")]
MVIT_MMACTION = [*_MVIT, (r"^conv_proj\.", "patch_embed.projection."), (r"^norm\.", "norm3."), (r"^", "backbone.")]
TIMESFORMER_MMACTION = [
    (r"^embeddings\.cls_token$", "backbone.cls_token"),
    (r"^embeddings\.position_embeddings$", "backbone.pos_embed"),
    (r"^embeddings\.time_embeddings$", "backbone.time_embed"),
    (r"^embeddings\.patch_embeddings\.", "backbone.patch_embed."),
    (r"^encoder\.layer\.", "backbone.transformer_layers.layers."),
    (r"\.temporal_layernorm\.", ".attentions.0.norm."),
    (r"\.temporal_attention\.attention\.qkv\.", ".attentions.0.attn.in_proj_"),
    (r"\.temporal_attention\.output\.dense\.", ".attentions.0.attn.out_proj."),
    (r"\.temporal_dense\.", ".attentions.0.temporal_fc."),
    (r"\.layernorm_before\.", ".attentions.1.norm."),
    (r"\.attention\.attention\.qkv\.", ".attentions.1.attn.in_proj_"),
    (r"\.attention\.output\.dense\.", ".attentions.1.attn.out_proj."),
    (r"\.layernorm_after\.", ".ffns.0.norm."),
    (r"\.intermediate\.dense\.", ".ffns.0.layers.0.0."),
    (r"(\d)\.output\.dense\.", r"\1.ffns.0.layers.1."),
    (r"^layernorm\.", "backbone.norm."),
]

CASES = [
    ("slowfast/r50_8x8_test", SLOWFAST_PYSLOWFAST, "PySlowFast", "s2.pathway1_res0.branch2.a_bn.running_mean"),
    ("slowfast/r50_8x8_test", SLOWFAST_MMACTION, "mmaction2", "backbone.slow_path.layer2_lateral.conv.weight"),
    ("slow/r50_8x8_test", _pyslowfast(1, 2, 3, 4), "PySlowFast", "s5.pathway0_res2.branch2.c.weight"),
    ("slow/r50_8x8_test", _mmaction(1, 2, 3, 4), "mmaction2", "backbone.layer4.2.conv3.bn.weight"),
    ("slowfast/c2d_r50_test", _pyslowfast(1, 3, 4, 5), "PySlowFast", "s3.pathway0_res0.branch1_bn.weight"),
    ("slowfast/c2d_r50_test", _mmaction(1, 3, 4, 5), "mmaction2", "backbone.layer2.0.downsample.conv.weight"),
    ("i3d/r50_8x8_test", _pyslowfast(1, 3, 4, 5), "PySlowFast", "s1.pathway0_stem.conv.weight"),
    ("x3d/s_test", X3D_PYSLOWFAST, "PySlowFast", "s2.pathway0_res0.branch2.se.fc1.bias"),
    ("x3d/s_test", X3D_MMACTION, "mmaction2", "cls_head.fc1.weight"),
    ("torchvision/swin3d_t_test", SWIN, "Video Swin Transformer", "backbone.layers.0.downsample.reduction.weight"),
    ("torchvision/mvit_v1_b_test", MVIT_PYSLOWFAST, "PySlowFast", "pos_embed_spatial"),
    ("torchvision/mvit_v2_s_test", MVIT_PYSLOWFAST, "PySlowFast", "blocks.0.attn.norm_q.weight"),
    ("torchvision/mvit_v2_s_test", MVIT_MMACTION, "mmaction2", "backbone.norm3.weight"),
    ("timesformer/base_test", TIMESFORMER_MMACTION, "", "backbone.transformer_layers.layers.0.attentions.1.norm.bias"),
]


def written_out(name, rules):
    """A network of random values, and its state under another project's names."""
    torch.manual_seed(3)
    theirs = create(name)
    for tensor in theirs.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.2 + 0.05)
    state = {key.removeprefix("network."): tensor.clone() for key, tensor in theirs.state_dict().items()}
    return theirs, renamed(state, rules)


def answer(extractor):
    clip = extractor.clip
    frames, size = clip.frames or max(clip.min_frames, 8), clip.size or (64, 64)
    generator = torch.Generator().manual_seed(0)
    video = torch.randint(0, 256, (1, frames, 3, *size), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        return next(iter(extractor.features(video).values())).data


def saved(path, state, layout):
    torch.save({"model_state" if layout == "PySlowFast" else "state_dict": state}, path)
    return str(path)


@pytest.mark.parametrize(("name", "rules", "layout", "known"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_files_of_other_projects(tmp_path, name, rules, layout, known):
    theirs, state = written_out(name, rules)
    assert known in state
    # A linear layer there is a convolution of one cell here; a token has its batch axis; 2D kernels have no time.
    if "cls_head.fc1.weight" in state:
        state["cls_head.fc1.weight"] = state["cls_head.fc1.weight"].flatten(1)
    for key in [key for key in state if re.search(r"(cls_token|pos_embed_\w+)$", key) and "backbone" not in key]:
        state[key] = state[key].reshape(1, -1, state[key].shape[-1])
    if "c2d" in name and layout == "mmaction2":
        state = {key: t.squeeze(2) if t.ndim == 5 else t for key, t in state.items()}
    state["cls_head.fc_cls.weight"] = torch.ones(7, 3)
    ours = create(name, weights=saved(tmp_path / "theirs.pth", state, layout))
    report = ours.weights_report
    assert (report.layout, report.missing) == (layout, ())
    assert [name.removeprefix("network.") for name in report.left_over] == ["cls_head.fc_cls.weight"]
    assert torch.equal(answer(ours), answer(theirs))


def test_videomae_of_mmaction2(tmp_path):
    theirs, state = written_out("videomae/base_test", [])
    layers = sorted({int(found[1]) for key in state if (found := re.match(r"encoder\.layer\.(\d+)\.", key))})
    named = {
        f"backbone.patch_embed.projection.{kind}": state[f"embeddings.patch_embeddings.projection.{kind}"]
        for kind in ("weight", "bias")
    }
    for i in layers:
        own, block = f"encoder.layer.{i}.", f"backbone.blocks.{i}."
        attention = f"{own}attention.attention."
        named[f"{block}attn.qkv.weight"] = torch.cat(
            [state[f"{attention}{part}.weight"] for part in ("query", "key", "value")]
        )
        named[f"{block}attn.q_bias"] = state[f"{attention}query.bias"]
        named[f"{block}attn.v_bias"] = state[f"{attention}value.bias"]
        for ours, its in (
            ("attention.output.dense", "attn.proj"),
            ("layernorm_before", "norm1"),
            ("layernorm_after", "norm2"),
            ("intermediate.dense", "mlp.layers.0.0"),
            ("output.dense", "mlp.layers.1"),
        ):
            named |= {f"{block}{its}.{kind}": state[f"{own}{ours}.{kind}"] for kind in ("weight", "bias")}
    named |= {f"backbone.fc_norm.{kind}": state[f"layernorm.{kind}"] for kind in ("weight", "bias")}
    ours = create("videomae/base_test", weights=saved(tmp_path / "theirs.pth", named, "mmaction2"))
    assert torch.equal(answer(ours), answer(theirs))


@pytest.mark.parametrize(
    ("rules", "norm"),
    [(X3D_PYSLOWFAST, "s2.pathway0_res0.branch1_bn"), (X3D_MMACTION, "backbone.layer1.0.downsample.bn")],
)
def test_the_norm_that_pytorchvideo_s_x3d_lacks(tmp_path, rules, norm):
    theirs, state = written_out("x3d/s_test", rules)
    width = 16
    torch.manual_seed(5)
    extra = torch.nn.BatchNorm3d(width).eval()
    for tensor in (extra.weight.data, extra.bias.data, extra.running_mean, extra.running_var):
        tensor.uniform_(0.5, 1.5)
    state |= {f"{norm}.{key}": tensor.clone() for key, tensor in extra.state_dict().items()}
    block = theirs.network.blocks[1].res_blocks[0]
    block.branch1_conv = torch.nn.Sequential(block.branch1_conv, extra)
    ours = create("x3d/s_test", weights=saved(tmp_path / "theirs.pth", state, "PySlowFast"))
    plain = create("x3d/s_test", weights=saved(tmp_path / "plain.pth", written_out("x3d/s_test", rules)[1], ""))
    torch.testing.assert_close(answer(ours), answer(theirs), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(answer(ours), answer(plain), rtol=1e-3)
    del state[f"{norm}.running_var"]
    with pytest.raises(WeightsError, match=r"it has no .*running_var"):
        create("x3d/s_test", weights=saved(tmp_path / "broken.pth", state, "PySlowFast"))


def test_laterals_without_a_norm_are_another_network(tmp_path):
    _, state = written_out("slowfast/r50_8x8_test", SLOWFAST_MMACTION)
    state = {key: tensor for key, tensor in state.items() if "lateral.bn" not in key}
    with pytest.raises(WeightsError, match=r"missing \(16\): network.blocks.0.multipathway_fusion.norm.weight"):
        create("slowfast/r50_8x8_test", weights=saved(tmp_path / "theirs.pth", state, "mmaction2"))


def test_mmaction2_s_i3d_is_another_network(tmp_path):
    _, state = written_out("i3d/r50_8x8_test", _mmaction(1, 3, 4, 5))
    with pytest.raises(WeightsError, match=r"layout of mmaction2, and its I3D halves time in the stem"):
        create("i3d/r50_8x8_test", weights=saved(tmp_path / "theirs.pth", state, "mmaction2"))


def test_queries_keys_and_values_kept_apart(tmp_path):
    theirs, state = written_out("torchvision/mvit_v2_s_test", MVIT_PYSLOWFAST)
    for key in [key for key in state if ".qkv." in key]:
        parts = zip("qkv", state.pop(key).chunk(3), strict=True)
        state |= {key.replace(".qkv.", f".{letter}."): part.clone() for letter, part in parts}
    ours = create("torchvision/mvit_v2_s_test", weights=saved(tmp_path / "theirs.pth", state, "PySlowFast"))
    assert torch.equal(answer(ours), answer(theirs))
