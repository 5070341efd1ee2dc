// Draws maps and their colour scale.

// Linear between the colours of a perceptually uniform scale; `value` is in [0, 1].
function colourOf(value, colours) {
  const place = Math.min(Math.max(value, 0), 1) * (colours.length - 1);
  const low = Math.min(Math.floor(place), colours.length - 2);
  const part = place - low;
  return colours[low].map((channel, i) => channel + part * (colours[low + 1][i] - channel));
}

// Two neighbouring cells and the weight of the second one, for a pixel on an axis of `pixels`.
function between(pixel, pixels, cells) {
  const place = Math.min(Math.max(((pixel + 0.5) * cells) / pixels - 0.5, 0), cells - 1);
  const low = Math.min(Math.floor(place), Math.max(cells - 2, 0));
  return [low, Math.min(low + 1, cells - 1), place - low];
}

// Bilinear between values, not between colours; each value stands at the centre of its cell.
export function drawMap(canvas, values, colours) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const columns = Array.from({ length: width }, (_, x) => between(x, width, values[0].length));
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = between(y, height, values.length);
    columns.forEach(([left, right, across], x) => {
      const above = values[top][left] * (1 - across) + values[top][right] * across;
      const below = values[bottom][left] * (1 - across) + values[bottom][right] * across;
      const colour = colourOf(above * (1 - down) + below * down, colours);
      image.data.set([...colour, 255], 4 * (y * width + x));
    });
  }
  context.putImageData(image, 0, 0);
}

export function drawLegend(canvas, colours) {
  drawMap(canvas, [Array.from({ length: 65 }, (_, i) => i / 64)], colours);
}
