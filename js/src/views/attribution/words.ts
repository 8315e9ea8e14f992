import { formatCount, formatNumber, formatPercent } from "../../core/format";
import { bare, isolated } from "../../core/labels";
import { substitute } from "../../core/template";
import { type Scene, shownPrompt } from "./scene";

type Shown = Pick<Scene, "spec" | "data" | "prompt" | "target" | "values">;

/** A contribution with its sign: "+1.20", "−0.031", "0". */
export function signed(value: number): string {
  return Math.abs(value) < 5e-7 ? "0" : formatNumber(value, { plus: true });
}

/** The answer and what it is compared with, as labels; null where they differ between the prompts that are shown. */
export function answersOf({ data, prompt }: Pick<Scene, "data" | "prompt">): {
  answer: string | null;
  wrong: string | null;
  mean: boolean;
} {
  const { answers, wrong_answers } = data.arrays;
  const prompts = prompt === null ? [...answers.keys()] : [prompt];
  const only = <T>(values: readonly T[]) => {
    const chosen = new Set(prompts.map((at) => values[at]));
    return chosen.size === 1 ? [...chosen][0] : null;
  };
  return { answer: only(answers), wrong: only(wrong_answers), mean: prompts.every((at) => wrong_answers[at] === null) };
}

export function titleOf(scene: Pick<Scene, "data" | "prompt">): string {
  const { answer, wrong, mean } = answersOf(scene);
  const right = answer === null ? "the answer" : isolated(bare(answer));
  if (mean) return `What makes the model say ${right}?`;
  return `What makes the model say ${right} rather than ${wrong === null ? "the wrong answer" : isolated(bare(wrong))}?`;
}

/** What is measured, and what is held. */
export function meaningOf(scene: Shown): string {
  const { mean } = answersOf(scene);
  const [least, most] = scene.data.scales(scene.prompt, scene.target);
  const range = Math.abs(most - least) < 1e-9 ? formatNumber(least) : `${formatNumber(least)} to ${formatNumber(most)}`;
  const held = Number.isFinite(least) ? ` (${range})` : "";
  const what = mean ? "the answer's logit above the mean over the vocabulary" : "the difference of the two logits";
  const over =
    scene.prompt === null && scene.data.prompts > 1
      ? `, in a mean over ${formatCount(scene.data.done.length, "prompt")}`
      : "";
  return `What each component adds to ${what} by itself${over}. The scale of the last norm is frozen at what it is in this run${held}; what later layers make of a component counts as theirs.`;
}

export function nameOf({ spec }: Pick<Scene, "spec">, component: number): string {
  return spec.components[component].name;
}

/** A component's share of the logit difference, where that says something. */
export function shareOf({ data, prompt, target, values }: Shown, component: number): string {
  const logit = data.logit(prompt, target);
  const share = values[component] / logit;
  if (Math.abs(logit) < 1e-3 || !Number.isFinite(share)) return "";
  return `${Math.abs(share) < 0.005 ? "less than 1%" : formatPercent(share)} of the difference`;
}

/** The interval of a mean over prompts; empty for one prompt. */
export function intervalOf({ data, prompt, target }: Shown, component: number): string {
  if (prompt !== null || data.done.length < 2) return "";
  const { mean, half } = data.spread(target, component);
  return `95% interval ${signed(mean - half)} to ${signed(mean + half)}`;
}

/** A component as a screen reader says it. */
export function spoken(scene: Shown, component: number): string {
  const value = scene.values[component];
  const said = Number.isNaN(value) ? "not computed" : `${signed(value)} logits`;
  return [nameOf(scene, component), said, intervalOf(scene, component), shareOf(scene, component)]
    .filter(Boolean)
    .join(", ");
}

/** What a head brings from one token, in words. */
export function spokenSource(label: string, position: number, contribution: number, weight: number): string {
  return `${isolated(label)}, position ${position}: ${signed(contribution)} logits with weight ${formatNumber(weight)}`;
}

/** The lines of nnsight for a component; empty where there are none. */
export function codeOf(scene: Pick<Scene, "spec" | "data" | "prompt" | "target">, component: number): string {
  const { spec, data, target } = scene;
  const { site, layer, head } = spec.components[component];
  const template = spec.code[site];
  if (!template) return "";
  const prompt = shownPrompt(scene);
  const wrong = data.arrays.wrong_answer_ids[prompt];
  return substitute(template, {
    ids: `[${data.ids(prompt).join(", ")}]`,
    pos: String(data.position(prompt, target)),
    answer: `[${data.arrays.answer_ids[prompt]}]`,
    wrong_answer: wrong === null ? ".mean(0)" : `[${wrong}]`,
    layer: String(layer),
    head: String(head),
  });
}
