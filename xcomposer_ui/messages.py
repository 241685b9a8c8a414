"""Every sentence that a user's mistake gets, in English and Chinese.

A key is a `UserError` code; the sentence says what was found and what to do.
"""

from __future__ import annotations

MESSAGES: dict[str, dict[str, str]] = {
    "unknown_strategy": {
        "en": "There is no strategy “{name}”. Choose one of: {known}.",
        "zh": "没有名为“{name}”的策略。可选：{known}。",
    },
    "unknown_half": {
        "en": "“{name}” is not a 16-bit type that the lab knows. Choose one of: {known}.",
        "zh": "“{name}”不是本实验室支持的 16 位类型。可选：{known}。",
    },
    "unknown_setting": {
        "en": "“{value}” is no value for {name}. Choose one of: {known}.",
        "zh": "“{value}”不是 {name} 的有效值。可选：{known}。",
    },
    "bad_port": {
        "en": "“{port}” is not a port: a number from 0 to 65535.",
        "zh": "“{port}”不是端口号：应为 0 到 65535 的整数。",
    },
    "unknown_model": {
        "en": "The model “{name}” is not offered here. Choose one of: {known}.",
        "zh": "此处不提供模型“{name}”。可选：{known}。",
    },
    "no_cuda": {
        "en": "No CUDA device was found here. Choose the device “cpu” or “auto”.",
        "zh": "此处没有 CUDA 设备。请选择设备“cpu”或“auto”。",
    },
    "empty_question": {
        "en": "The question is empty. Ask something about the picture.",
        "zh": "问题为空。请就图片提一个问题。",
    },
    "no_picture": {
        "en": "There is no picture yet. Choose an example, upload a picture or draw one.",
        "zh": "还没有图片。请选择示例、上传图片或手绘一张。",
    },
    "nothing_pasted": {
        "en": "There is nothing to explain yet. Paste an error message or a traceback.",
        "zh": "还没有内容可解释。请粘贴报错信息或 traceback。",
    },
}
