/** What a client sends, and sends again: to a busy peer, and after a lost connection. */

/** The free share goes to a peer unconfirmed within FREE_MS: half of the 64 messages and 64 KiB that its queue takes. */
const FREE_MESSAGES = 32;
const FREE_BYTES = 32 * 1024;
/** The relay closes a peer that reads nothing for this long. */
const FREE_MS = 5_000;
/** Before a busy peer is tried again; doubled each time. */
const FIRST_BUSY_MS = 100;
const LONGEST_BUSY_MS = 1_000;
/** What may wait for all peers together, in free shares: 1,024 messages or 1 MiB. */
const MOST_HELD = 32;
/** Of `ref` and `to`, which are added: an id has 64 characters at most. */
const ENVELOPE_BYTES = 100;
/** Characters that may wait for our return. */
const MOST_LOGGED = 2 ** 20;
export const PROBE_REF = "probe";

/**
 * The messages that wait for one peer. The relay reports refusals only. So beyond the free share one message is in
 * flight at a time, followed by a question; if the answer comes first, the message was accepted.
 */
class SendQueue {
	held = [];
	#write;
	#ask;
	#inFlight = false;
	#refused = false;
	#waiting = false;
	#delayMs = FIRST_BUSY_MS;
	#timer = 0;
	#used = 0;
	#usedAtMs = 0;

	constructor(id, write, ask) {
		this.id = id;
		this.#write = write;
		this.#ask = ask;
	}

	admits(share) {
		const now = performance.now();
		this.#used = Math.max(0, this.#used - (now - this.#usedAtMs) / FREE_MS);
		this.#usedAtMs = now;
		return !this.#waiting && this.#used + share <= 1;
	}

	count(share) {
		this.#used = Math.min(1, this.#used + share);
	}

	/** Inserts a message in order. It goes once all that went before is settled. */
	hold(message) {
		const at = this.held.findIndex(({ number }) => number > message.number);
		this.held.splice(at < 0 ? this.held.length : at, 0, message);
		if (!this.#waiting) this.#ask(this);
		this.#waiting = true;
	}

	refuse(message) {
		this.#refused = true;
		this.count(1);
		if (!this.held.includes(message)) this.hold(message);
	}

	settle() {
		const refused = this.#refused;
		if (this.#inFlight && !refused) this.held.shift();
		if (refused) this.#timer = setTimeout(() => this.#next(), this.#delayMs);
		else this.#next();
		this.#delayMs = refused ? Math.min(this.#delayMs * 2, LONGEST_BUSY_MS) : FIRST_BUSY_MS;
	}

	drop() {
		clearTimeout(this.#timer);
		this.held = [];
	}

	#next() {
		this.#refused = false;
		this.#inFlight = this.#waiting = this.held.length > 0;
		if (!this.#inFlight) return;
		this.#write(this.held[0]);
		this.#ask(this);
	}
}

export class Outbox {
	/** By which the relay gives our place back. With it, what is written while we are away waits for our return. */
	token = null;
	room;
	#put;
	/** What the relay may not have taken, and how much it has. */
	#log = [];
	#taken = 0;
	#queues = new Map();
	/** What the relay may still refuse, by its `ref`. */
	#sent = new Map();
	#lastRef = 0;
	#unasked = 0;
	/** Queues that are about to ask, and questions without an answer yet. */
	#asking = [];
	#questions = [];

	/** @param {(message: object) => boolean} put says it now, if we are in the room */
	constructor(put) {
		this.#put = put;
	}

	get waits() {
		return this.token && this.#log.join("").length < MOST_LOGGED;
	}

	/** @returns {?boolean} whether it is sent, or will be; null if it is too large */
	send(fields, to, mostBytes) {
		const text = JSON.stringify({ ...fields, ref: undefined, to: undefined });
		const bytes = new TextEncoder().encode(text).length;
		if (bytes + ENVELOPE_BYTES > mostBytes) return null;
		const share = Math.max(1 / FREE_MESSAGES, bytes / FREE_BYTES);
		const message = { number: ++this.#lastRef, to, ref: fields.ref, text, share };
		const all = [...this.#queues.values()];
		const queues = all.filter(({ id }) => to === undefined || to === id);
		if (queues.every((queue) => queue.admits(share))) {
			for (const queue of queues) queue.count(share);
			return this.#writeSignal(message);
		}
		const held = all.flatMap((queue) => queue.held);
		if (held.reduce((sum, { share }) => sum + share, share * queues.length) > MOST_HELD) return false;
		// One must wait; the others need not: a copy for each.
		for (const queue of queues) {
			const copy = { ...message, to: queue.id, isCopy: to === undefined };
			if (queue.admits(share)) this.#writeSignal(copy);
			else queue.hold(copy);
			queue.count(share);
		}
		return true;
	}

	#writeSignal(message) {
		const { to, text, share } = message;
		const ref = ++this.#lastRef;
		this.#sent.set(ref, message);
		this.#unasked += share;
		const sent = this.write({ ...JSON.parse(text), ref: String(ref), to });
		if (this.#unasked > 1 && !this.token) this.ask(); // with a place, `taken` tells
		return sent;
	}

	write(message) {
		if (this.token) this.#log.push(JSON.stringify(message));
		return this.#put(message) || !!this.token;
	}

	meet(id) {
		const ask = (queue) => this.#asking.push(queue) === 1 && queueMicrotask(() => this.ask(this.#asking.splice(0)));
		this.#queues.set(id, new SendQueue(id, (message) => this.#writeSignal(message), ask));
	}

	part(id) {
		this.#queues.get(id)?.drop();
		this.#queues.delete(id);
	}

	/** The answer to this comes after every refusal of what was sent before. */
	ask(queues = []) {
		this.#unasked = 0;
		const asked = this.write({ type: "join", room: this.room, ref: PROBE_REF });
		if (asked) this.#questions.push({ queues, lastRef: this.#lastRef });
	}

	answered() {
		const { queues, lastRef } = this.#questions.shift();
		this.#settleUpTo(lastRef);
		for (const queue of queues) queue.settle();
	}

	/** The relay has so many. What it refused of them, it has said before. */
	taken(received) {
		const refs = this.#took(received).map((text) => Number(JSON.parse(text).ref) || 0);
		this.#settleUpTo(Math.max(0, ...refs));
	}

	#took(received) {
		const gone = this.#log.splice(0, received - this.#taken);
		this.#taken = Math.max(received, this.#taken);
		return gone;
	}

	#settleUpTo(lastRef) {
		for (const ref of this.#sent.keys()) if (ref <= lastRef) this.#sent.delete(ref);
	}

	/** Back in our place, of which the relay has `received` so many. */
	repeat(received, send) {
		this.#took(received);
		this.#log.forEach(send);
	}

	/** An error about a message from `send`. @returns {boolean} whether it is handled */
	returned(error) {
		const message = this.#sent.get(Number(error.ref));
		if (!message) return false;
		const queue = this.#queues.get(error.to ?? message.to);
		const isLate = error.code === "rate_limited" && queue?.held.includes(message);
		if (queue && (error.code === "peer_busy" || isLate)) {
			queue.refuse(message.to === undefined ? { ...message, to: error.to, isCopy: true } : message);
			return true;
		}
		error.ref = message.ref;
		return message.isCopy && error.code === "peer_not_found";
	}

	forget() {
		for (const queue of this.#queues.values()) queue.drop();
		this.#queues.clear();
		this.#sent.clear();
		[this.#asking, this.#questions, this.#log] = [[], [], []];
		this.token = null;
		this.#taken = 0;
	}
}
