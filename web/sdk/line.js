/** The data channel between two calls, encrypted, with or without the relay. */

export const LABEL = "call";
export const PROTOCOL = "signaling-relay";

/** Characters in one message: every browser's SCTP takes as many bytes, four times. */
export const LONGEST = 60_000;
const MOST_BUFFERED = 2 ** 20;
/** Messages that may come at once, and how many more in a second: a chat is far below, a flood above. */
const BURST = 300;
const PER_SECOND = 60;
const MOST_UNCONFIRMED = 256;

export class PeerLine {
	#channel = null;
	#greeting;
	#onmessage;
	#heardHi = false;
	#allowance = BURST;
	#countedAt = performance.now();
	#unconfirmed = new Map();

	/**
	 * @param {() => object} greeting the fields of `hi`
	 * @param {(message: object) => void} onmessage hears all but `ack`; also {type: "closed"}
	 */
	constructor(greeting, onmessage) {
		this.#greeting = greeting;
		this.#onmessage = onmessage;
	}

	get hasChannel() {
		return this.#channel !== null;
	}

	get live() {
		return this.#heardHi && this.#channel.readyState === "open";
	}

	/** Uses this channel, which one of the two ends has made. If both made one, each end may send by another. */
	attach(channel) {
		if (this.#channel?.readyState !== "open") this.#channel = channel;
		const greet = () => channel.send(JSON.stringify({ type: "hi", ...this.#greeting() }));
		channel.onmessage = ({ data }) => this.#read(channel, data);
		channel.onclose = () => channel === this.#channel && this.#onmessage({ type: "closed" });
		channel.onopen = greet;
		if (channel.readyState === "open") greet();
	}

	send(message) {
		if (!this.live) return false;
		const text = JSON.stringify(message);
		if (text.length > LONGEST || this.#channel.bufferedAmount + text.length > MOST_BUFFERED) return false;
		if (message.type === "message") {
			if (this.#unconfirmed.size >= MOST_UNCONFIRMED) return false;
			this.#unconfirmed.set(message.n, message.data);
		}
		try {
			this.#channel.send(text);
		} catch {
			this.#unconfirmed.delete(message.n);
			return false;
		}
		return true;
	}

	/** Offers what was sent and not confirmed to another way; what that takes is forgotten here. */
	repeat(send) {
		for (const [n, data] of this.#unconfirmed) if (send(n, data)) this.#unconfirmed.delete(n);
	}

	#read(channel, text) {
		if (!this.#allows(text)) return channel.close();
		let message;
		try {
			message = JSON.parse(text);
		} catch {
			return;
		}
		if (typeof message?.type !== "string") return;
		if (message.type === "hi") this.#heardHi = true;
		if (!this.#heardHi) return;
		if (message.type === "ack") return this.#unconfirmed.delete(message.n);
		if (message.type === "message") this.send({ type: "ack", n: message.n });
		this.#onmessage(message);
	}

	#allows(text) {
		const now = performance.now();
		this.#allowance = Math.min(BURST, this.#allowance + ((now - this.#countedAt) * PER_SECOND) / 1_000) - 1;
		this.#countedAt = now;
		return typeof text === "string" && text.length <= LONGEST && this.#allowance >= 0;
	}
}
