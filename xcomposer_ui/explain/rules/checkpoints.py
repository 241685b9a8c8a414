"""Rules for loading: checkpoints, their remote code, the hub. Precision does not affect these failures."""

from __future__ import annotations

import re
from collections.abc import Callable

from xcomposer_ui.core.messages import Text
from xcomposer_ui.core.result import Reference
from xcomposer_ui.explain.references import LOADING, OFFLINE, xcomposer
from xcomposer_ui.explain.rule import Facts, Rule
from xcomposer_ui.explain.verdicts import PRECISION_UNRELATED


def _rule(
    family: str,
    title: Text,
    cause: Text,
    *patterns: str,
    whole: tuple[str, ...] = (),
    applies: Callable[[Facts], bool] | None = None,
    references: tuple[Reference, ...] = (),
) -> Rule:
    return Rule(family, title, cause, PRECISION_UNRELATED, patterns, whole, applies, False, references)


_OUTDATED = Text(
    "The checkpoint's remote code is older than this transformers", "检查点的远程代码比当前的 transformers 旧"
)
_REMOTE_TOKENIZERS = re.compile(
    r"InternLM|QWen|ChatGLM|Baichuan|XVERSE|Orion|Aquila|Skywork|Yi|MiniCPM|Moonshot|TikToken"
)
"""Beginnings of the names of tokenizers that come with a checkpoint; the others are transformers' or somebody's own."""


def _is_remote(facts: Facts) -> bool:
    """Whether a tokenizer that lacks an attribute is a checkpoint's; of the other messages nothing is asked."""
    name = facts.match.groupdict().get("tokenizer")
    remote = any("transformers_modules" in frame.file for frame in facts.frames)
    return name is None or remote or _REMOTE_TOKENIZERS.match(name) is not None


REMOTE_CODE = _rule(
    "remote_code_outdated",
    _OUTDATED,
    Text(
        "The model's code comes with the checkpoint (`trust_remote_code`) and was written for an older transformers; "
        "newer ones changed what it builds on. Published members of this family load here without remote code, by "
        "classes of the lab's own; elsewhere install the transformers that the checkpoint's config.json names.",
        "模型代码随检查点下载（`trust_remote_code`），是为旧版 transformers 写的；新版改动了它依赖的接口。"
        "本实验室用自己的类加载该系列已发布的模型，不需要远程代码；"
        "在别处请安装检查点 config.json 所写的 transformers 版本。",
    ),
    r"'InternLM\w*' object has no attribute '\w+'",
    r"'\w+(?:ForCausalLM|ForConditionalGeneration|ChatModel|LMHeadModel)' object has no attribute "
    r"'(?:generate|_extract_past_from_model_output|prepare_inputs_for_generation|all_tied_weights_keys)'",
    r"'(?P<tokenizer>\w*Tokenizer)' object has no attribute '(?:sp_model|vocab|tokenizer|_extra_special_tokens)'",
    r"'\w*FlashAttention2' object has no attribute '_flash_attention_forward'",
    r"'DynamicCache' object has no attribute '(?:seen_tokens|get_max_length|get_usable_length|to_legacy_cache)'",
    r"cannot import name '(?!\w*(?:ForCausalLM|ForConditionalGeneration|Processor|Config|Model)')\w+' from "
    r"'transformers(?:\.[\w.]+)?'",
    r"No module named 'transformers\.(?!_modules)\w[\w.]*'",
    applies=_is_remote,
    references=(xcomposer(33), Reference("ms-swift#4324", "https://github.com/modelscope/ms-swift/issues/4324")),
)

_MODEL_CODE = re.compile(r"transformers_modules|modeling_\w+\.py$")
_PICTURE_TOKENS = 1225
"""Tokens of one picture in this family: a message without its traceback tells such a prompt by its length."""


def _one_apart(facts: Facts) -> bool:
    """Whether mask and keys differ by one in a model's own code, which counts the cache as older transformers did.

    In other code, sizes that differ by one have other causes, such as a picture with an odd side.
    """
    keys, mask = int(facts.match[1]), int(facts.match[2])
    if not facts.frames:
        return keys == mask + 1 and mask >= _PICTURE_TOKENS
    return abs(keys - mask) == 1 and any(_MODEL_CODE.search(frame.file) for frame in facts.frames)


MASK_LENGTH = _rule(
    "remote_code_outdated",
    _OUTDATED,
    Text(
        "Attention's mask and its keys are one apart: remote code that counts the cached tokens as older transformers "
        "did. Published members of this family load here without remote code.",
        "注意力掩码与键的长度相差一：远程代码按旧版 transformers 的方式计算缓存长度。"
        "本实验室加载该系列已发布的模型不需要远程代码。",
    ),
    r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at non-singleton dimension 3",
    applies=_one_apart,
    references=(xcomposer(143),),
)

ROPE_TYPE = _rule(
    "remote_code_outdated",
    _OUTDATED,
    Text(
        "The remote code reads `rope_scaling['type']`; newer transformers write that key as `rope_type`, and fill the "
        "setting in where the checkpoint has none. Published members of this family load here without remote code.",
        "远程代码读取 `rope_scaling['type']`；新版 transformers 把这个键改为 `rope_type`，并在检查点未设置时自动填充。"
        "本实验室加载该系列已发布的模型不需要远程代码。",
    ),
    whole=(r"(?:KeyError: )?'type'",),
    applies=lambda facts: any(frame.file.endswith("modeling_internlm2.py") for frame in facts.frames),
    references=(LOADING,),
)

FOLDER_NAME = _rule(
    "remote_code_path",
    Text("The checkpoint's folder name breaks its remote code's import", "检查点的文件夹名使远程代码无法导入"),
    Text(
        "transformers imports remote code as a module named after the folder; a dot in the name ends the module's "
        "name. Rename the folder without dots.",
        "transformers 以文件夹名作为模块名导入远程代码；名字里的点会截断模块名。请改成不含点的文件夹名。",
    ),
    r"No module named 'transformers_modules[.\w-]*'",
    references=(xcomposer(390),),
)

POSITION_SIZE = _rule(
    "image_size_mismatch",
    Text("The picture's size is not the vision tower's", "图片尺寸与视觉塔不符"),
    Text(
        "Newer CLIP code checks the picture's side against its configuration, and this family runs a 336-pixel CLIP at "
        "another side: the position embeddings must be resized to the checkpoint's side before. Classes of the lab's "
        "own do that.",
        "新版 CLIP 代码会用配置检查图片边长，而本系列把 336 像素的 CLIP 用在别的边长上："
        "须先把位置编码调整到检查点的边长。"
        "本实验室自己的类会这样做。",
    ),
    r"Input image size \(\d+\*\d+\) doesn't match model \(\d+\*\d+\)",
    r"size mismatch for (?!\S*text_)\S*(?:vision|visual|vit|clip|image|img)\S*\.position_embedding\S*: "
    r"copying a param with shape",
    references=(xcomposer(461),),
)

TRANSFORMERS_OLD = _rule(
    "transformers_too_old",
    Text("This transformers is older than the model", "transformers 版本比模型旧"),
    Text(
        "The installed transformers has no class for this model yet: upgrade it (`pip install -U transformers`), and "
        "restart the kernel or the server.",
        "已安装的 transformers 还没有该模型的类：请升级（`pip install -U transformers`），并重启内核或服务。",
    ),
    r"cannot import name '\w*(?:ForCausalLM|ForConditionalGeneration|Processor|Config|Model)' from 'transformers'",
    r"module '?transformers'? has no attribute '?\w*(?:ForCausalLM|ForConditionalGeneration|Processor|Model)",
    r"model type `?'?[\w.-]+'?`? but Transformers does not recognize this architecture",
    references=(LOADING,),
)

WRONG_CLASS = _rule(
    "wrong_model_class",
    Text("The checkpoint was opened with another model's class", "检查点被用别的模型的类打开"),
    Text(
        "The class that was asked for belongs to another model type than the checkpoint's, so its weights may not find "
        "their places. Load it with `AutoModelForCausalLM`, after `import xcomposer_ui.models`.",
        "所用的类与检查点的模型类型不同，权重可能无处可放。请在 `import xcomposer_ui.models` 之后用 "
        "`AutoModelForCausalLM` 加载。",
    ),
    r"You are using a model of type \S+ to instantiate a model of type \S+\. This (?:is not supported|may be expected)",
    r"Unrecognized configuration class <class '[\w.]+'> for this kind of AutoModel",
    r"does not recognize this architecture",
    references=(xcomposer(331), LOADING),
)

OFFLINE_DOWNLOAD = _rule(
    "offline_download",
    Text("A file was to be downloaded and the hub could not be reached", "需要下载文件，但连接不上模型仓库"),
    Text(
        "Something asks the hub for a file that is not in the cache. This family's remote code downloads CLIP although "
        "the checkpoint holds its weights; classes of the lab's own do not. Otherwise download the model once while "
        "connected, or give a local folder.",
        "有文件不在缓存中，需要向模型仓库请求。本系列的远程代码会另外下载 CLIP，尽管检查点已含其权重；"
        "本实验室自己的类不会。"
        "其他情况请在联网时先下载一次模型，或给出本地文件夹。",
    ),
    r"[Cc]ouldn't connect to '?https://(?:huggingface\.co|hf-mirror\.com|www\.modelscope\.cn)",
    r"We have no connection or you passed local_files_only",
    r"Cannot find the requested files in the (?:disk cache|local cache)",
    r"on the local disk and outgoing traffic has been disabled",
    r"HTTPSConnectionPool\(host='(?:huggingface\.co|cdn-lfs[\w.-]*)'",
    references=(xcomposer(206), OFFLINE),
)

BROKEN_FILE = _rule(
    "checkpoint_incomplete",
    Text("A file of the checkpoint is missing or cut off", "检查点的文件缺失或不完整"),
    Text(
        "A weights file is not there, was cut off, or is a git-lfs pointer of a few lines instead of the weights. "
        "Download it again and compare its size with the hub's.",
        "权重文件缺失、被截断，或只是几行文字的 git-lfs 指针。请重新下载，并与仓库上的大小核对。",
    ),
    r"Error while deserializing header: ?\w+",
    r"does not appear to have (?:a file|files) named",
    r"Error no file named \S+",
    r"\b[Nn]o file named \S+\.(?:bin|safetensors|h5|ckpt|msgpack|pth?|index\.json)\b",
    r"unpickling stack underflow|PytorchStreamReader failed (?:reading zip archive|locating file)",
    references=(LOADING,),
)

CONSENT = _rule(
    "remote_code_consent",
    Text("The checkpoint wants to run its own code", "检查点要求运行它自带的代码"),
    Text(
        "transformers has no class of this name and would run the code that comes with the checkpoint. After "
        "`import xcomposer_ui.models` the members of this family load without; for another model read its code "
        "first, then pass `trust_remote_code=True`.",
        "transformers 没有该类，只能运行检查点自带的代码。`import xcomposer_ui.models` 之后，本系列模型不需要它；"
        "其他模型请先阅读其代码，再传入 `trust_remote_code=True`。",
    ),
    r"requires you to execute the \w+ file in that repo",
    r"contains custom code which must be executed to correctly load the model",
    references=(LOADING,),
)

PACKAGE = _rule(
    "package_missing",
    Text("A package that the checkpoint's code needs is not installed", "缺少检查点代码所需的软件包"),
    Text(
        "The remote code imports packages that are not here. Most are for training or for speed only; classes of the "
        "lab's own need none of them.",
        "远程代码导入了未安装的软件包。多数只用于训练或加速；本实验室自己的类不需要它们。",
    ),
    r"This modeling file requires the following packages that were not found in your environment: [\w, -]+",
    r"No module named '(?:rotary_emb|flash_attn|auto_gptq|xentropy_cuda_lib|sentencepiece|dropout_layer_norm)'",
    r"FlashAttention2 has been toggled on, but it cannot be used",
    r"(?:Using|requires) `?(?:low_cpu_mem_usage=True|device_map|accelerate)`?.{0,60}[Aa]ccelerate",
)

RULES = (
    *(TRANSFORMERS_OLD, REMOTE_CODE, MASK_LENGTH, ROPE_TYPE, FOLDER_NAME, POSITION_SIZE, WRONG_CLASS),
    *(OFFLINE_DOWNLOAD, BROKEN_FILE, CONSENT, PACKAGE),
)
