/** Who listens to the events of a channel, a link or a call. */
export class Listeners {
	#byType = new Map();

	on(type, listener) {
		if (!this.#byType.has(type)) this.#byType.set(type, new Set());
		this.#byType.get(type).add(listener);
		return () => this.#byType.get(type)?.delete(listener);
	}

	/** A listener that throws harms no other. */
	emit(type, event) {
		for (const listener of [...(this.#byType.get(type) ?? [])]) {
			try {
				listener(event);
			} catch (error) {
				console.error(error);
			}
		}
	}

	clear() {
		this.#byType.clear();
	}
}
