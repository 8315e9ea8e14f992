import { formatNumber } from "../../core/format";
import type { SuperpositionSpec } from "../../protocol/superposition";
import { KEPT, type Toys } from "./data";
import { inPlane } from "./scene";

/** A share as people say it: 50%, 0.8%. */
export function percent(share: number): string {
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share >= 0.995) return `${(100 * share).toFixed(0)}%`;
  return `${Number((100 * share).toPrecision(2))}%`;
}

/** A dimensionality, as the fraction it is close to or in two digits. */
export function shareOfDimension({ landmarks }: SuperpositionSpec, value: number): string {
  const near = landmarks.find(({ share }) => Math.abs(share - value) < 0.012);
  if (near) return near.label === "1" ? "1" : `${near.label} (${value.toFixed(2)})`;
  return value < 0.005 ? "0" : value.toFixed(2);
}

export function listed(features: readonly number[]): string {
  if (features.length < 2) return features.join("");
  return `${features.slice(0, -1).join(", ")} and ${features.at(-1)}`;
}

/** What a picture is, in one sentence. */
export function pictureMeaning(spec: SuperpositionSpec): string {
  const models =
    spec.n_models > 1 ? `the best of ${spec.n_models} toy models ${spec.model}` : `a toy model ${spec.model}`;
  const trained = `Each picture is ${models}, trained on features that are on for the share of the time below it.`;
  const drawn = inPlane(spec)
    ? "An arrow is a feature’s direction: long if the feature is kept, at right angles to what it does not disturb."
    : "It shows WᵀW: a row is what all features, when on, put on the read-out of one. On the diagonal is what comes through, off it interference.";
  return `${trained} ${drawn}`;
}

export function onShare(spec: SuperpositionSpec, level: number): string {
  const probability = spec.probabilities[level];
  return probability >= 1 ? "always on" : `on ${percent(probability)} of the time`;
}

/** The same, as short as a caption. */
export function onBriefly({ probabilities }: SuperpositionSpec, level: number): string {
  return probabilities[level] >= 1 ? "always on" : `on ${percent(probabilities[level])}`;
}

/** What one model does, in words. */
export function explainModel(toys: Toys, level: number): string {
  const { spec } = toys;
  const kept = toys.kept(level);
  const lost = `${percent(toys.lost(level))} of what there is to know is lost.`;
  const dimensions = spec.n_hidden === 1 ? "the one dimension" : `${spec.n_hidden} dimensions`;
  if (kept === 0) return `No feature is kept. ${lost}`;
  if (toys.shapes(level).every(({ features }) => features.length === 1)) {
    const each =
      kept === 1
        ? "keeps one feature, in a dimension of its own"
        : `keeps ${kept} features, each in a dimension of its own`;
    const rest = toys.features - kept;
    const drops = rest ? `, and drops ${rest === 1 ? "the other" : `the other ${rest}`}` : "";
    return `No superposition: the model ${each}${drops}. ${lost}`;
  }
  const most = kept > spec.n_hidden ? "Superposition" : "Shared dimensions";
  const alike = toys.shapes(level).length === 1 && /^\d/.test(toys.shapes(level)[0].name);
  const geometry = alike ? "" : ` (${toys.geometry(level)})`;
  return (
    `${most}: ${kept} of ${toys.features} features in ${dimensions}${geometry}. ` +
    `They disturb each other only when they are on together. ${lost}`
  );
}

/** Others that a feature is disturbed by, the strongest first. */
export function disturbers(toys: Toys, level: number, feature: number): { other: number; along: number }[] {
  if (toys.facts(level, feature).norm < KEPT) return [];
  const others = [];
  for (let other = 0; other < toys.features; other++) {
    const along = other === feature ? 0 : toys.along(level, feature, other);
    if (Math.abs(along) >= 0.1) others.push({ other, along });
  }
  return others.sort((a, b) => Math.abs(b.along) - Math.abs(a.along));
}

/** What becomes of one feature in one model, in words. */
export function explainFeature(toys: Toys, level: number, feature: number): string {
  const { spec } = toys;
  const { norm, dimensionality } = toys.facts(level, feature);
  if (norm < KEPT) {
    const why =
      norm < 0.1
        ? "The model does not keep it: its direction is next to nothing, and the read-out says its mean instead."
        : "The model hardly keeps it.";
    return `${why}${partner(spec, feature)}`;
  }
  const shape = toys.shapeOf(level, feature);
  const others = shape?.features.filter((other) => other !== feature) ?? [];
  const share = shareOfDimension(spec, dimensionality);
  if (!shape || others.length === 0)
    return `It has a dimension of its own: no other feature disturbs it.${partner(spec, feature)}`;
  const rest =
    others.length > 8 ? `${others.length} others` : `feature${others.length > 1 ? "s" : ""} ${listed(others)}`;
  const place = /^\d/.test(shape.name) ? `It is one of ${shape.name}` : `It is part of ${article(shape.name)}`;
  return `${place} with ${rest}, and has ${share} of a dimension to itself. ${disturbance(toys, level, feature)}${partner(spec, feature)}`;
}

function disturbance(toys: Toys, level: number, feature: number): string {
  const [first, ...more] = disturbers(toys, level, feature);
  if (!first) return "";
  const { other } = first;
  const reads = toys.reads(level, feature, other);
  const size = formatNumber(reads, { plus: true });
  const relu = toys.spec.model.startsWith("ReLU");
  const removed = reads < 0 && relu ? ", below 0, which ReLU cuts off" : "";
  const rest = more.length ? ` ${more.length} more ${more.length === 1 ? "disturbs" : "disturb"} it less.` : "";
  return `When feature ${other} alone is on, it puts ${size} on this one’s read-out${removed}.${rest}`;
}

function partner({ correlated, anticorrelated }: SuperpositionSpec, feature: number): string {
  const others = (sets: number[][]) =>
    sets.find((set) => set.includes(feature))?.filter((other) => other !== feature) ?? [];
  const [together, apart] = [others(correlated), others(anticorrelated)];
  if (together.length) return ` It is on exactly when feature${together.length > 1 ? "s" : ""} ${listed(together)} is.`;
  if (apart.length) return ` It is never on together with feature${apart.length > 1 ? "s" : ""} ${listed(apart)}.`;
  return "";
}

function article(name: string): string {
  return `${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`;
}

/** A feature as a screen reader hears it. */
export function spoken(toys: Toys, level: number, feature: number): string {
  const { norm, dimensionality } = toys.facts(level, feature);
  const { spec } = toys;
  return (
    `feature ${feature}, ${onShare(spec, level)}: length ${norm.toFixed(2)}, dimensionality ` +
    `${shareOfDimension(spec, dimensionality)}, importance ${formatNumber(spec.importance[feature])}. ` +
    explainFeature(toys, level, feature)
  );
}
