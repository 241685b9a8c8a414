"""Rules for attention: its operands, its mask, and the kernels that take half types only."""

from __future__ import annotations

from dataclasses import replace

from xcomposer_ui.core.messages import Text
from xcomposer_ui.explain.dtype_names import INTEGERS, dtypes_in
from xcomposer_ui.explain.references import ATTENTION, AUTOCAST, FLASH_ATTENTION, xcomposer
from xcomposer_ui.explain.rule import DTYPE, STATED, Facts, Rule, Verdicts
from xcomposer_ui.explain.verdicts import ALL_FLOAT32, AS_IS, CASTS, NO_DOUBLE, ONE_HALF, clash, same_for_all, verdicts

OPERANDS = Rule(
    family="attention_dtype_mismatch",
    title=Text("Attention's query, key and value have different dtypes", "注意力的 query、key、value dtype 不一致"),
    cause=Text(
        "Query, key and value came as {dtypes}. Typical sources: rotary position embeddings computed in float32 for "
        "query and key and not cast back, a key-value cache of another dtype, or one projection left in float32.",
        "query、key、value 的 dtype 为 {dtypes}。常见来源：旋转位置编码以 float32 计算后未转换回去、键值缓存是另一种 "
        "dtype，或某个投影层仍是 float32。",
    ),
    verdicts=clash,
    patterns=(
        rf"Expected query, key, and value to have the same dtype, but got query\.dtype: {DTYPE} key\.dtype: {DTYPE} "
        rf"and value\.dtype: {DTYPE} instead",
        # flash-attn's own checks
        r"query and (?:key|value) must have the same dtype",
        # xformers
        rf"Query/Key/Value should (?:either )?all have the same dtype.{{0,400}}?query\.dtype: {DTYPE} "
        rf"+key\.dtype *: {DTYPE} +value\.dtype: {DTYPE}",
    ),
    references=(ATTENTION, xcomposer(424)),
)


def _mask(facts: Facts) -> Verdicts:
    mask = dtypes_in(facts.match.group("mask"))
    if not mask or mask[0] in INTEGERS:
        return same_for_all(False, _INTEGER_MASK)
    if mask[0] == "float64":
        return same_for_all(False, NO_DOUBLE)
    return verdicts((False, AS_IS), (True, CASTS), (None, _UNIFIED_MASK), (True, ALL_FLOAT32))


_INTEGER_MASK = Text(
    "It leaves an integer mask as it is. Give attention a bool mask, or a floating-point one of 0 and -inf.",
    "它不会改动整数掩码。请提供 bool 掩码，或由 0 与 -inf 组成的浮点掩码。",
)
_UNIFIED_MASK = Text(
    "It depends on the query: cured if a half picture makes it half, not if the model computes it in float32.",
    "取决于 query：若半精度图片使它成为半精度则可解决；若模型以 float32 计算它则不能。",
)
MASK = Rule(
    family="attention_mask_dtype",
    title=Text("The attention mask has a dtype that attention does not take", "注意力不接受该掩码的 dtype"),
    cause=Text(
        "scaled_dot_product_attention takes a mask that is bool, float32, or of the query's dtype. A tokenizer's mask "
        "of ones and zeros is int64: the model must turn it into one of those before attention.",
        "scaled_dot_product_attention 只接受 bool、float32 或与 query 相同 dtype 的掩码。"
        "分词器给出的 0/1 掩码是 int64："
        "模型须先转换它。",
    ),
    verdicts=_mask,
    patterns=(
        r"Expected attn_mask dtype to be bool or (?:float or )?to match query dtype, but got attn_mask\.dtype: "
        r"(?P<mask>.{1,40}?) and +query\.dtype: .{1,40}? instead",
        r"only bool and floating types of (?P<mask>key_padding_mask|attn_mask) are supported",
        # PyTorch 1.5 to 1.13
        r"Only float, byte, and bool types are supported for attn_mask, not (?P<mask>torch\.\w+)",
    ),
    references=(ATTENTION,),
)

BIAS = replace(
    MASK,
    cause=Text(
        "The memory-efficient kernel adds the mask to the scores and takes one of the query's dtype only: the query is "
        "half and the mask was made in float32, or the reverse. Cast the mask to `query.dtype`.",
        "内存高效的注意力内核把掩码加到分数上，只接受与 query 相同 dtype 的掩码：query 是半精度而掩码以 float32 生成，"
        "或正相反。请把掩码转换为 `query.dtype`。",
    ),
    verdicts=verdicts((False, AS_IS), (True, CASTS), (None, _UNIFIED_MASK), (True, ALL_FLOAT32)),
    patterns=(r"invalid dtype for bias - should match query's dtype",),
)

# In a message it says no more; a person goes on: "…, so I use SDPA."
_ONLY_HALVES = (
    r"[Ff]lash[ _-]?(?:attn|[Aa]ttention).{0,60}only supports? (?:fp16|half|float16).{0,20}(?:bf16|bfloat16)"
    r"(?!,? (?:so|and|but|which|while|because)\b)"
)
_FLASH_AS_IS = Text(
    "Its weights are half, but the float32 picture meets them before attention is reached.",
    "它的权重是半精度，但 float32 图片在到达注意力之前就会与之冲突。",
)
_FLASH_AUTOCAST = Text(
    "Under torch.autocast the projections give half queries, keys and values.",
    "在 torch.autocast 下，投影层输出半精度的 query、key、value。",
)
_FLASH_FULL = Text(
    "It is the cause: float32 weights give float32 queries. Another attention implementation (sdpa, eager) takes them.",
    "它正是原因：float32 权重产生 float32 的 query。换用其他注意力实现（sdpa、eager）即可。",
)
FLASH = Rule(
    family="flash_attention_dtype",
    title=Text("Flash attention takes half types only", "Flash Attention 只接受半精度"),
    cause=Text(
        "Flash attention's kernels compute in float16 or bfloat16 and got something else, usually float32 because the "
        "weights were loaded in float32.",
        "Flash Attention 的内核只计算 float16 或 bfloat16，却收到别的类型，通常是因为权重以 float32 加载。",
    ),
    verdicts=verdicts((False, _FLASH_AS_IS), (True, _FLASH_AUTOCAST), (True, ONE_HALF), (False, _FLASH_FULL)),
    patterns=(
        r"Flash ?Attention(?: 2(?:\.0)?)? only supports? [\w., ]{0,60}?(?:fp16|torch\.float16).{0,40}?"
        r"(?:data types?|dtypes?)(?:, but the current dt?ype in \w+ is torch\.\w+|"
        r"(?!s?,? (?:so|and|which|while|because|but (?!the current))\b))",
        r"Expected query, key and value to (?:all )?be of dtype: \{[^}]{0,80}\}\. "
        r"Got Query dtype: .{1,40}? Key dtype: .{1,40}? and Value dtype: .{1,40}? instead",
        r"`flshatt\w*@?[\w.]*` is not supported because:.{0,400}?dtype=torch\.float32 \(supported: \{[^}]{0,80}\}\)",
        r"attempting to use Flash Attention 2(?:\.0)? without specifying a torch dtype",
        rf"{STATED}{_ONLY_HALVES}",
        r"scaled_dot_product_attention_flash_attention: Expected data type in FP32, FP64, BF16, FP16, but got \w+",
    ),
    whole=(rf"{_ONLY_HALVES}[\w ]{{0,40}}",),
    references=(FLASH_ATTENTION, AUTOCAST, xcomposer(416)),
)

_NO_KERNEL = Text(
    "It depends on why each kernel declined: a float32 query is one reason, an attention mask or the GPU are others. "
    "The warnings above the error name it.",
    "取决于各内核拒绝的原因：float32 的 query 是一种，注意力掩码或 GPU 型号是另一种。错误上方的警告会说明。",
)
NO_KERNEL = Rule(
    family="attention_no_kernel",
    title=Text("No attention kernel took these operands", "没有注意力内核接受这些操作数"),
    cause=Text(
        "Only certain attention kernels were allowed, and each declined: for the dtype, the mask, the head size or "
        "the GPU.",
        "只允许使用某些注意力内核，而它们都拒绝了：可能因为 dtype、掩码、头维度或 GPU。",
    ),
    verdicts=same_for_all(None, _NO_KERNEL),
    patterns=(
        r"No operator found for `memory_efficient_attention_\w+`",
        r"cutlassF: no kernel found to launch",  # a dtype or a head size that the GPU's kernels lack
    ),
    whole=(r"No available kernel\. +Aborting execution",),
    references=(ATTENTION,),
)

RULES = (OPERANDS, MASK, BIAS, FLASH, NO_KERNEL)
