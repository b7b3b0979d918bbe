/** What all in a call have in common: a last-writer-wins map with Lamport clocks. */

const MOST_KEYS = 64;
const LONGEST_KEY = 64;
const LONGEST_VALUE = 2_000;

export class SharedState {
	/** By key: {value, clock, by}; an undefined value is a key that was taken away. */
	#entries = new Map();
	#clock = 0;
	#me = crypto.getRandomValues(new Uint32Array(2)).join("-");

	get(key) {
		return this.#entries.get(key)?.value;
	}

	get entries() {
		return Array.from(this.#entries, ([key, entry]) => ({ key, ...entry }));
	}

	set(key, value) {
		const entry = { key, value, clock: this.#clock + 1, by: this.#me };
		return this.merge([entry]).length > 0 ? entry : null;
	}

	/** Takes what others tell. @returns {object[]} the entries that are new here */
	merge(entries) {
		if (!Array.isArray(entries)) return [];
		return entries.slice(0, MOST_KEYS).filter((entry) => this.#take(entry));
	}

	#take({ key, value, clock, by } = {}) {
		const sound = typeof key === "string" && key.length <= LONGEST_KEY && Number.isSafeInteger(clock) && typeof by === "string";
		if (!sound || (JSON.stringify(value)?.length ?? 0) > LONGEST_VALUE) return false;
		const known = this.#entries.get(key);
		if (!known && this.#entries.size >= MOST_KEYS) return false;
		if (known && (known.clock > clock || (known.clock === clock && known.by >= by))) return false;
		this.#clock = Math.max(this.#clock, clock);
		this.#entries.set(key, { value, clock, by });
		return true;
	}
}
