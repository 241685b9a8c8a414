"""The texts of the Models tab: key -> (English, Chinese)."""

from __future__ import annotations

MODEL_TEXTS: dict[str, tuple[str, str]] = {
    "tab.models": ("Models", "模型"),
    "models": ("The models offered here", "此处提供的模型"),
    "models.choose": ("Model in memory; a click loads another one", "内存中的模型；点击即载入另一个"),
    "models.stop": ("Stop the download", "停止下载"),
    "models.name": ("Model", "模型"),
    "models.disk": ("On disk", "磁盘占用"),
    "models.half": ("16-bit strategies need", "16 位策略所需"),
    "models.full": ("Full precision needs", "全精度所需"),
    "models.fits": ("Fits here", "本机能否容纳"),
    "models.state": ("State", "状态"),
    "models.fits.all": ("every strategy", "所有策略"),
    "models.fits.half": ("in 16 bits only", "仅 16 位"),
    "models.fits.none": ("no", "不能"),
    "models.loaded": ("in memory", "已载入内存"),
    "models.here": ("on disk", "在磁盘上"),
    "models.away": ("to be downloaded", "需下载"),
    "models.note": (
        "Weights and the KV cache of one picture with {tokens} tokens of text, from the files' headers or the "
        "configuration; activations come on top, as the Plan tab shows.",
        "含权重，以及一张图片加 {tokens} 个文本词元的 KV 缓存，由文件头或配置得出；激活值另计，见“预估”页。",
    ),
    "models.ready": ("{model} is in memory.", "{model} 已载入内存。"),
    "models.one": (
        "To offer more, name folders or hub ids in XCOMPOSER_MODELS, separated by commas, and start the lab again.",
        "如需提供更多模型，请在 XCOMPOSER_MODELS 中以逗号分隔列出文件夹或模型库编号，然后重新启动。",
    ),
}
