// The colours of labels and faces: those of ferlab's own plots and recordings (ferlab.labels.COLOURS; a test compares them).

const COLOURS = {
  "neutral": "#777777",
  "happiness": "#E69F00",
  "surprise": "#56B4E9",
  "sadness": "#0072B2",
  "anger": "#D55E00",
  "disgust": "#009E73",
  "fear": "#CC79A7",
  "contempt": "#4D4D4D",
  "happily surprised": "#ACA75D",
  "happily disgusted": "#8A9F2E",
  "sadly fearful": "#5275AE",
  "sadly angry": "#556A6B",
  "sadly surprised": "#228CC8",
  "sadly disgusted": "#008499",
  "fearfully angry": "#D06E64",
  "fearfully surprised": "#9D91C1",
  "angrily surprised": "#A2805D",
  "angrily disgusted": "#80782E",
  "disgustedly surprised": "#22A7A2",
};

/** Of each label, a Map from its name: the emotion's own; names that are none are spread over the colour wheel. */
export function colours(names) {
  const own = names.filter((name) => !Object.hasOwn(COLOURS, name));
  return new Map(names.map((name) => [name, COLOURS[name] ?? hue(own.indexOf(name) / own.length)]));
}

/** Of a face without a label: neighbours' numbers have colours far apart (golden ratio). */
export function ofTrack(number) {
  return hue((number * 0.618) % 1);
}

/** Of a face: that of its label, or of its number for a model without labels. */
export function ofFace(face, palette) {
  return palette.get(face.label) ?? ofTrack(face.track);
}

/** Black or white, whichever has the larger contrast on a ground (WCAG 2.2, relative luminance). */
export function ink(ground) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const value = parseInt(ground.slice(at, at + 2), 16) / 255;
    return value > 0.04045 ? ((value + 0.055) / 1.055) ** 2.4 : value / 12.92;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}

function hue(share) {
  const value = 0.85, saturation = 0.7;
  const channel = (n) => {
    const k = (n + 6 * share) % 6;
    const level = value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1));
    return Math.round(255 * level).toString(16).padStart(2, "0");
  };
  return `#${channel(5)}${channel(3)}${channel(1)}`;
}
