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
    "no_mps": {
        "en": "PyTorch finds no GPU of Apple's here: it needs macOS 14 or later, on a Mac with one that Metal drives. "
        "Choose the device “cpu” or “auto”.",
        "zh": "PyTorch 在此处未找到 Apple GPU：需要 macOS 14 或更新版本，以及 Metal 支持的 GPU。"
        "请选择设备“cpu”或“auto”。",
    },
    "no_mps_build": {
        "en": "This PyTorch is built without MPS, which reaches Apple's GPU: the builds for macOS have it. "
        "Choose the device “cpu” or “auto”.",
        "zh": "此 PyTorch 未带访问 Apple GPU 的 MPS：只有 macOS 版本带有。请选择设备“cpu”或“auto”。",
    },
    "no_measured_peak": {
        "en": "No run's peak of memory could be measured on the device “{device}”, so there is nothing to compare the "
        "predictions with. Choose the device “cpu” or “cuda”.",
        "zh": "在设备“{device}”上无法测得任何运行的内存峰值，因此没有可与预测比较的数据。请选择设备“cpu”或“cuda”。",
    },
    "empty_question": {
        "en": "The question is empty. Ask something about the picture.",
        "zh": "问题为空。请就图片提一个问题。",
    },
    "no_picture": {
        "en": "There is no picture yet. Choose an example, upload a picture or draw one.",
        "zh": "还没有图片。请选择示例、上传图片或手绘一张。",
    },
    "no_config": {
        "en": "The folder “{name}” holds no config.json. Give the folder of a transformers model.",
        "zh": "文件夹“{name}”中没有 config.json。请给出 transformers 模型的文件夹。",
    },
    "no_model_class": {
        "en": "“{name}” is neither a folder here nor a class that can be imported, such as "
        "LlavaForConditionalGeneration or my_package.model:MyModel.",
        "zh": "“{name}”既不是本机文件夹，也不是可导入的类，例如 LlavaForConditionalGeneration "
        "或 my_package.model:MyModel。",
    },
    "nothing_to_trace": {
        "en": "There is no run to trace yet. Ask something first.",
        "zh": "还没有可追踪的运行。请先提一个问题。",
    },
    "nothing_pasted": {
        "en": "There is nothing to explain yet. Paste an error message or a traceback.",
        "zh": "还没有内容可解释。请粘贴报错信息或 traceback。",
    },
    "long_question": {
        "en": "The question has {length} characters; the longest that fits a prompt is {longest}. Shorten it.",
        "zh": "问题有 {length} 个字符；提示最多容纳 {longest} 个。请缩短。",
    },
    "control_token": {
        "en": "The question contains “{token}”, which the model reads as a control token. Leave it out.",
        "zh": "问题中含有“{token}”，模型会把它当作控制标记。请删去。",
    },
    "image_marks": {
        "en": "The question marks {marks} places for a picture with <ImageHere>, and {pictures} is given. "
        "Leave the marks out: the picture is put in front.",
        "zh": "问题中用 <ImageHere> 标了 {marks} 处图片，而实际给了 {pictures} 张。请删去标记：图片会自动放在最前。",
    },
    "out_of_range": {
        "en": "{name} is {value}; it must be between {lowest} and {highest}.",
        "zh": "{name} 为 {value}；应在 {lowest} 与 {highest} 之间。",
    },
    "no_tiles": {
        "en": "hd_num is for tiled models: this one looks at each picture as one square. Leave hd_num out.",
        "zh": "hd_num 只用于分块模型：此模型把每张图片当作一个正方形来看。请去掉 hd_num。",
    },
    "bad_picture_size": {
        "en": "“{text}” is no picture size. Write width and height in pixels, such as 1024x768, or “none” for "
        "text only.",
        "zh": "“{text}”不是图片尺寸。请写宽和高（像素），例如 1024x768；纯文本请写“none”。",
    },
    "plan_broke_off": {
        "en": "The planning broke off: {what}",
        "zh": "预估中断：{what}",
    },
    "does_not_fit": {
        "en": "This does not fit into the {room} that there are (needed: {needs}), so it was not started. "
        "What fits: {fits}. With “anyway” it is started all the same.",
        "zh": "可用内存 {room} 放不下（需要：{needs}），因此没有启动。放得下的有：{fits}。加上“anyway”则仍然启动。",
    },
    "nothing_fits": {
        "en": "This does not fit into the {room} that there are (needed: {needs}), so it was not started. No strategy "
        "and no fewer tiles fit: take a smaller model. With “anyway” it is started all the same.",
        "zh": "可用内存 {room} 放不下（需要：{needs}），因此没有启动。换策略或减少分块都放不下：请换用更小的模型。"
        "加上“anyway”则仍然启动。",
    },
    "no_such_model": {
        "en": "“{name}” is neither a folder here nor a hub id such as internlm/internlm-xcomposer2-vl-7b.",
        "zh": "“{name}”既不是本机文件夹，也不是形如 internlm/internlm-xcomposer2-vl-7b 的模型库编号。",
    },
    "incomplete_checkpoint": {
        "en": "The checkpoint “{name}” is not whole: {missing} is missing. Copy or download it again.",
        "zh": "检查点“{name}”不完整：缺少 {missing}。请重新复制或下载。",
    },
    "cut_off_file": {
        "en": "The file {file} of the checkpoint “{name}” is cut off or damaged. Copy or download it again.",
        "zh": "检查点“{name}”中的文件 {file} 被截断或已损坏。请重新复制或下载。",
    },
    "broken_checkpoint": {
        "en": "The checkpoint “{name}” cannot be loaded: {what}",
        "zh": "无法加载检查点“{name}”：{what}",
    },
    "other_family": {
        "en": "The checkpoint “{name}” is of another family: its config.json says {what}, not InternLM-XComposer2.",
        "zh": "检查点“{name}”属于其他系列：其 config.json 写的是 {what}，而非 InternLM-XComposer2。",
    },
    "more_than_weights": {
        "en": "A .bin file of the checkpoint “{name}” holds more than weights, and loading it would run what it holds. "
        "Take the checkpoint as safetensors.",
        "zh": "检查点“{name}”的 .bin 文件除权重外还含有其他内容，载入时会被执行。请改用 safetensors 格式。",
    },
    "hub_gated": {
        "en": "“{name}” is gated: ask for access on its page of the hub, then run `hf auth login` on this machine.",
        "zh": "“{name}”是受限模型：请先在其模型库页面申请访问权限，再在本机执行 `hf auth login`。",
    },
    "hub_missing": {
        "en": "The hub has no model “{name}”, or it is private. Check the name; a private one needs `hf auth login`.",
        "zh": "模型库中没有“{name}”，或为私有模型。请检查名称；私有模型需先执行 `hf auth login`。",
    },
    "hub_refused": {
        "en": "The hub did not give out “{name}” (status {what}). Try again later.",
        "zh": "模型库未提供“{name}”（状态码 {what}）。请稍后再试。",
    },
    "hub_out_of_reach": {
        "en": "“{name}” is not on this machine and could not be fetched from the hub: {what}",
        "zh": "本机没有“{name}”，也无法从模型库获取：{what}",
    },
    "unreadable_text": {
        "en": "The file {file} cannot be read: {what}.",
        "zh": "无法读取文件 {file}：{what}。",
    },
    "unwritable_file": {
        "en": "The file {file} cannot be written: {what}.",
        "zh": "无法写入文件 {file}：{what}。",
    },
    "picture_missing": {
        "en": "There is no file “{name}”. Choose the picture again.",
        "zh": "没有文件“{name}”。请重新选择图片。",
    },
    "picture_folder": {
        "en": "“{name}” is a folder. Choose a picture in it.",
        "zh": "“{name}”是文件夹。请选择其中的一张图片。",
    },
    "picture_no_file": {
        "en": "“{name}” is a pipe or a device, not a file. Save the picture to a file first.",
        "zh": "“{name}”是管道或设备，不是文件。请先把图片存为文件。",
    },
    "picture_unreadable": {
        "en": "The file “{name}” cannot be read ({what}). Check its permissions, or choose another.",
        "zh": "无法读取文件“{name}”（{what}）。请检查权限，或另选一张。",
    },
    "picture_empty": {
        "en": "The file “{name}” is empty. Save or download the picture again.",
        "zh": "文件“{name}”是空的。请重新保存或下载图片。",
    },
    "picture_bytes": {
        "en": "The file “{name}” has {size} MiB; up to {limit} MiB are read. Save it smaller, as a JPEG for instance.",
        "zh": "文件“{name}”有 {size} MiB，最多读取 {limit} MiB。请存为更小的文件，例如 JPEG。",
    },
    "picture_pixels": {
        "en": "“{name}” has {width} × {height} pixels, {megapixels} megapixels; up to {limit} megapixels are opened. "
        "Make it smaller first.",
        "zh": "“{name}”有 {width} × {height} 像素，共 {megapixels} 百万像素；最多可打开 {limit} 百万像素。请先缩小。",
    },
    "picture_strip": {
        "en": "“{name}” is a strip of {width} × {height} pixels: in the square that the model looks at, nothing of it "
        "would be left to see. Crop it until the longer side is at most {limit} times the shorter.",
        "zh": "“{name}”是 {width} × {height} 像素的细条：缩成模型所看的正方形后什么也看不见。"
        "请裁剪，使长边不超过短边的 {limit} 倍。",
    },
    "picture_svg": {
        "en": "“{name}” is an SVG, a drawing without pixels. Export it as PNG first.",
        "zh": "“{name}”是 SVG 矢量图，没有像素。请先导出为 PNG。",
    },
    "picture_text": {
        "en": "“{name}” is a text file, not a picture. Choose one of these formats: {formats}.",
        "zh": "“{name}”是文本文件，不是图片。可用格式：{formats}。",
    },
    "picture_kind": {
        "en": "“{name}” is a {kind} file, which is not read here. Save it in one of these formats: {formats}.",
        "zh": "“{name}”是 {kind} 文件，这里无法读取。请存为以下格式之一：{formats}。",
    },
    "picture_unknown": {
        "en": "“{name}” is none of the picture formats that are read here. Choose one of them: {formats}.",
        "zh": "“{name}”不是这里能读取的图片格式。可用格式：{formats}。",
    },
    "picture_cut_off": {
        "en": "The picture “{name}” is cut off: its end is missing. Copy or download it again.",
        "zh": "图片“{name}”不完整：缺少结尾部分。请重新复制或下载。",
    },
    "picture_corrupt": {
        "en": "The picture “{name}” is damaged and cannot be decoded. Open and save it in another program, or choose "
        "another.",
        "zh": "图片“{name}”已损坏，无法解码。请在其他程序中打开后重新保存，或另选一张。",
    },
    "no_report": {
        "en": "This is not the JSON of `run --json` or `compare --json`. Give the line that one of them printed.",
        "zh": "这不是 `run --json` 或 `compare --json` 的 JSON。请提供其输出的那一行。",
    },
    "unknown_format": {
        "en": "“{name}” is no format of a report. Choose one of: {known}.",
        "zh": "“{name}”不是报告格式。可选：{known}。",
    },
    "no_question": {
        "en": "There is nothing to ask. Give --question, or --batch with a file of questions.",
        "zh": "没有要问的内容。请给出 --question，或用 --batch 指定问题文件。",
    },
    "batch_or_question": {
        "en": "A batch brings its own questions and pictures. Leave out --question and --image, or --batch.",
        "zh": "批量文件自带问题和图片。请去掉 --question 与 --image，或去掉 --batch。",
    },
    "batch_empty": {
        "en": "The file {file} holds no question. Each line is a JSON object such as {example}.",
        "zh": "文件 {file} 中没有问题。每行应为一个 JSON 对象，例如 {example}。",
    },
    "batch_line": {
        "en": "Line {line} is no question ({what}). A line is a JSON object such as {example}.",
        "zh": "第 {line} 行不是问题（{what}）。每行应为一个 JSON 对象，例如 {example}。",
    },
    "batch_other_settings": {
        "en": "{file} holds results of other settings. Give another --output, or remove the file.",
        "zh": "{file} 中是其他设置下的结果。请换一个 --output，或删除该文件。",
    },
    "not_results": {
        "en": "{file} holds something else than a batch's results. Give another --output.",
        "zh": "{file} 中不是批量运行的结果。请换一个 --output。",
    },
    "port_taken": {
        "en": "The page cannot be served at {host}, port {port}: {reason}. Choose another --port.",
        "zh": "无法在 {host} 的端口 {port} 上提供页面：{reason}。请用 --port 选择其他端口。",
    },
}
