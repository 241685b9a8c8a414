"""The Compare tab's texts, in English and Chinese: key -> (English, Chinese)."""

from __future__ import annotations

COMPARE_TEXTS: dict[str, tuple[str, str]] = {
    "tab.compare": ("Compare", "对比"),
    "compare.halves": ("16-bit types", "16 位类型"),
    "compare.repeats": ("Repeats", "重复次数"),
    "compare.repeats.info": (
        "Measured in turns after a warm-up; the median is shown, and the spread",
        "预热后轮流测量；显示中位数与波动范围",
    ),
    "compare.run": ("Compare", "开始对比"),
    "compare.examples": ("Try on the examples", "在全部示例上试"),
    "compare.empty": (
        "One question under every strategy: what each answers, takes and costs, and how far its numbers are from "
        "full precision's.",
        "同一问题在每种策略下：各自的回答、用时与内存，以及其数值与全精度相差多少。",
    ),
    "compare.stage.waiting": ("Another run holds the model; this goes on after it.", "模型正被占用，稍后自动继续。"),
    "compare.stage.warm_up": ("Warming up: {variant}", "预热：{variant}"),
    "compare.stage.run": ("Measuring: {variant}", "测量：{variant}"),
    "compare.stage.divergence": ("Measuring the distance from full precision", "测量与全精度的差距"),
    "compare.stage.many": ("Question {n} of {total}", "第 {n} 题，共 {total} 题"),
    "compare.unfit": (
        "Not all of this fits into the {room} that there are, so nothing was started.",
        "可用内存 {room} 放不下全部策略，因此没有启动。",
    ),
    "compare.unfit.needs": ("“{variant}” needs {needed}.", "“{variant}”需要 {needed}。"),
    "compare.unfit.fits": ("What fits: {variants}.", "放得下的有：{variants}。"),
    "compare.unfit.comma": (", ", "、"),
    "compare.unfit.no_full": (
        "Without full precision there is nothing to measure the distance from.",
        "没有全精度作参照，则不测量差距。",
    ),
    "compare.unfit.some": ("Compare those that fit", "只对比放得下的"),
    "compare.unfit.all": ("Compare all the same", "仍然全部对比"),
    "compare.stopped": ("Stopped. What was measured by then is kept.", "已停止，保留已测得的结果。"),
    "compare.grouped": (
        "The weights do not fit beside each other: strategies were measured one dtype after the other.",
        "各类型权重无法同时载入：按类型依次测量。",
    ),
    # Table
    "compare.table": ("Side by side", "并列对比"),
    "compare.variant": ("Strategy", "策略"),
    "compare.weights": ("Weights", "权重"),
    "compare.answer": ("Answer", "回答"),
    "compare.like_full": ("Against full precision", "与全精度相比"),
    "compare.latency": ("Latency", "总延迟"),
    "compare.first": ("First token", "首个词元"),
    "compare.rate": ("Tokens/s", "词元/秒"),
    "compare.memory": ("Peak memory", "峰值内存"),
    "compare.share": ("{share} of it weights", "其中权重占 {share}"),
    "compare.same": ("the same", "相同"),
    "compare.other": ("another answer", "不同"),
    "compare.same_text": ("the same text, of other tokens from token {n} on", "文字相同，第 {n} 个词元起切分不同"),
    "compare.unsteady": ("not the same in every repeat", "各次重复不一致"),
    "compare.parts": ("parts at token {n}", "第 {n} 个词元起不同"),
    "compare.itself": ("the reference", "参照"),
    "compare.failed": ("failed", "失败"),
    "compare.range": ("{lowest} to {highest}", "{lowest} 至 {highest}"),
    # Charts
    "compare.chart.latency": ("Latency, median; the line is the spread", "总延迟中位数；横线为波动范围"),
    "compare.chart.memory": ("Peak memory; the darker part is weights", "峰值内存；深色部分为权重"),
    # Answers
    "compare.answers": ("Answers; the first token that differs is marked", "回答（标出首个不同的词元）"),
    "compare.differs": ("first different token", "首个不同的词元"),
    "compare.end": ("(ends here)", "（到此结束）"),
    # Divergence
    "compare.divergence": ("Distance from full precision", "与全精度的差距"),
    "compare.divergence.how": (
        "Every strategy is given full precision's own tokens, so that one early difference does not drown the rest.",
        "每种策略都沿用全精度自己的词元，以免早期的一处差异淹没其余部分。",
    ),
    "compare.max_logit": ("Largest logit difference", "logit 最大差"),
    "compare.kl": ("Mean KL divergence", "平均 KL 散度"),
    "compare.top1": ("Same likeliest token", "最可能词元相同"),
    "compare.activation": ("Largest activation, of the type's limit", "最大激活值占类型上限"),
    "compare.floor": ("float32 against float64", "float32 对 float64"),
    "compare.non_finite": ("NaN or infinite at {module}", "{module} 出现 NaN 或无穷"),
    "compare.not_finite": ("not finite", "非有限值"),
    "compare.nats": ("{value} nats", "{value} nat"),
    "compare.depth": (
        "Relative error over depth, logarithmic, from the first module to the last",
        "相对误差随深度的变化（对数），从首个模块到最后模块",
    ),
    "compare.depth.tower": ("vision tower", "视觉塔"),
    "compare.depth.language": ("language model", "语言模型"),
    "compare.reason.no_float64": (
        "float32 against float64 is left out: Apple's GPU has no float64.",
        "未与 float64 比较：Apple GPU 没有 float64。",
    ),
    "compare.reason.floor": (
        "float32 against float64 is left out: the float64 weights would be too large.",
        "未与 float64 比较：float64 权重过大。",
    ),
    "compare.reason.layers": (
        "Of the modules the blocks alone were compared: every module's output would be too large to keep.",
        "模块中仅比较了各个块：保留每个模块的输出会过大。",
    ),
    # Many questions
    "compare.many": ("On the examples", "在示例上"),
    "compare.many.answered": ("Answered", "已回答"),
    "compare.many.rate": ("Same answer as full precision", "与全精度回答相同"),
    "compare.many.kl": ("Mean KL in nats, median (lowest to highest)", "平均 KL（nat）中位数（最低至最高）"),
    "compare.many.memory": ("Peak memory, median", "峰值内存中位数"),
    "compare.many.chart.latency": (
        "Latency: median, quartiles, lowest to highest",
        "总延迟：中位数、四分位数、最低至最高",
    ),
    "compare.many.chart.logit": (
        "Largest logit difference: median, quartiles, lowest to highest",
        "logit 最大差：中位数、四分位数、最低至最高",
    ),
    "compare.many.on": ("It goes on where it was stopped.", "再次运行将从中断处继续。"),
    # To take away
    "compare.report": ("Report", "报告"),
    "compare.report.md": ("Markdown", "Markdown"),
    "compare.report.json": ("JSON", "JSON"),
    "compare.report.csv": ("CSV", "CSV"),
    "compare.report.jsonl": ("JSONL", "JSONL"),
    "compare.report.py": ("Python script", "Python 脚本"),
    "compare.report.issue": ("Bug report", "问题报告"),
    "compare.with_picture": ("Put the picture itself into the report", "在报告中附上图片本身"),
    "compare.link": ("Link to these settings", "此设置的链接"),
}
