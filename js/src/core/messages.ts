import type { ReplyMessage, ToPython } from "../protocol/common";
import type { Bytes } from "./array";
import type { Model } from "./model";

const PATIENCE = 120_000;

/** `crypto.randomUUID` is missing on pages served without TLS, as notebooks in a local network are. */
export function uuid(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What is asked, without what all requests have. */
type Question<Request> = Request extends { kind: "request" } ? Omit<Request, "kind" | "id"> : never;

/** What arrives a piece at a time, in order. */
export interface Streamed {
  kind: string;
  seq: number;
}

/** An answer, with the arrays that came with it. */
export interface Answer {
  value: string;
  buffers: Bytes[];
}

interface Waiting {
  settle(reply: ReplyMessage, buffers: Bytes[]): void;
  timer: ReturnType<typeof setTimeout>;
}

/** Messages to and from Python: `Sent` are all that a view may send; `Piece` is what it is sent a piece at a time. */
export class Messages<State extends object, Sent extends { kind: string } = ToPython, Piece extends Streamed = never> {
  #seq: number | null = null;
  #waiting = new Map<string, Waiting>();

  constructor(
    private readonly model: Model<State>,
    private readonly onPiece: (message: Piece, buffers: Bytes[]) => void,
  ) {
    model.on("msg:custom", this.#receive);
  }

  get live(): boolean {
    return this.model.frozen !== true;
  }

  send(message: Sent | ToPython): void {
    if (this.live) this.model.send(message);
  }

  async request(question: Question<Sent | ToPython>): Promise<string> {
    return (await this.ask(question)).value;
  }

  ask(question: Question<Sent | ToPython>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const id = uuid();
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error("the kernel did not answer; it may be busy or gone."));
      }, PATIENCE);
      const settle = ({ ok, value }: ReplyMessage, buffers: Bytes[]) =>
        ok ? resolve({ value, buffers }) : reject(new Error(value));
      this.#waiting.set(id, { settle, timer });
      if (this.live) this.model.send({ kind: "request", id, ...question });
    });
  }

  destroy(): void {
    this.model.off("msg:custom", this.#receive);
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }

  #receive = (message: Piece | ReplyMessage, buffers: Bytes[]): void => {
    if ("seq" in message) {
      if (this.#seq !== null && message.seq !== this.#seq + 1) this.send({ kind: "resync" });
      this.#seq = message.seq;
      this.onPiece(message, buffers);
    } else if (message.kind === "reply") {
      const waiting = this.#waiting.get(message.id);
      if (!waiting) return; // another view of this model asked
      this.#waiting.delete(message.id);
      clearTimeout(waiting.timer);
      waiting.settle(message, buffers ?? []);
    }
  };
}
