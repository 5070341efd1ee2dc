"""What tests of pages in Chromium ask of a page: its width, and the contrast of its texts."""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLOURS = """() => {
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE"].includes(element.tagName))
      continue;
    let below = element;
    const isClear = (e) => getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)";
    while (isClear(below) && below !== document.body) below = below.parentElement;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    texts.push([ink, getComputedStyle(below).backgroundColor].join("|"));
  }
  return [...new Set(texts)];
}"""


def contrast(ink, paper):
    """Contrast ratio of two CSS colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(ink), luminance(paper)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    channels = [int(c) / 255 for c in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
