// The contrast (WCAG 2.1, 1.4.3) of every text that is on screen in the widgets, as the browser paints it.
() => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((value, at) => value * a + below[at] * (1 - a));
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.unshift(channels(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const seen = [];
  const walker = document.createTreeWalker(document.querySelector(".ak-workbench"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !node.checkVisibility() || node.closest(":disabled, .ak-unseen")) continue;
    const style = getComputedStyle(node);
    const behind = ground(node);
    const ink = node.closest("svg") ? style.fill : style.color;
    if (ink === "none") continue;
    seen.push({ text: text.slice(0, 40), ink, behind, contrast: contrast(over(channels(ink), behind), behind) });
  }
  return seen;
}
