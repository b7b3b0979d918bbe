/** What is on the page. Whatever comes from outside is put there as text, never as HTML. */

export const $ = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	element.append(...children);
	return element;
}

/** A button that says what it does, and to screen readers also to whom. */
export function button(word, whom, className, onclick) {
	const made = make("button", { type: "button", className, onclick }, word);
	made.setAttribute("aria-label", `${word}: ${whom}`);
	return made;
}

/** Changes a text only if it differs: screen readers read changes aloud, and what is selected stays so. */
export function say(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/**
 * A list whose entries stay the same elements while their texts change, so that the focus stays where it is. When the entry
 * that has the focus goes, the focus goes to `heading`.
 */
export class List {
	#element;
	#heading;
	#entry;
	#entries = new Map();

	/** `entry(item)` makes an element and returns it with the function that shows an item there: `{ element, show }`. */
	constructor(element, heading, entry) {
		this.#element = element;
		this.#heading = heading;
		this.#entry = entry;
	}

	show(items, keyOf) {
		const keys = new Set(items.map(keyOf));
		for (const [key, { element }] of this.#entries) {
			if (keys.has(key)) continue;
			if (element.contains(document.activeElement)) this.#heading.focus();
			element.remove();
			this.#entries.delete(key);
		}
		let next = this.#element.firstElementChild;
		for (const item of items) {
			const key = keyOf(item);
			if (!this.#entries.has(key)) this.#entries.set(key, this.#entry(item));
			const { element, show } = this.#entries.get(key);
			show(item);
			// What is in its place is not moved: it would lose the focus.
			if (element === next) next = next.nextElementSibling;
			else this.#element.insertBefore(element, next);
		}
	}
}

/** Asks whether it is meant; gives the sentence that was typed, or null if it is not meant. */
export function ask({ title, text, yes, hasWord = false }) {
	const dialog = $("ask");
	$("ask-title").replaceChildren(...title);
	$("ask-text").textContent = text;
	$("ask-yes").textContent = yes;
	$("ask-word-line").hidden = !hasWord;
	$("ask-word").value = "";
	$("ask-no").onclick = () => dialog.close();
	dialog.returnValue = "";
	dialog.showModal();
	return new Promise((resolve) => {
		dialog.onclose = () => resolve(dialog.returnValue === "yes" ? $("ask-word").value.trim() : null);
	});
}

/** Shows what went wrong, as a sentence. */
export function complain(error) {
	const words = String(error.message || error);
	const sentence = words.charAt(0).toUpperCase() + words.slice(1);
	$("error-text").textContent = /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
	$("error").hidden = false;
}
$("error-close").onclick = () => {
	$("error").hidden = true;
	// The button had the focus, and is gone.
	[$("room-title"), $("rooms-title"), $("token-title")].find((heading) => heading.offsetParent)?.focus();
};

/** Does something that may fail, once at a time. */
export function deed(act) {
	let runs = false;
	return async (...given) => {
		if (runs) return;
		runs = true;
		try {
			$("error").hidden = true;
			await act(...given);
		} catch (error) {
			complain(error);
		}
		runs = false;
	};
}

export function duration(seconds) {
	if (seconds < 60) return `${seconds} s`;
	if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
	return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

export function size(bytes) {
	const [kibibytes, mebibytes, gibibytes] = [1, 2, 3].map((power) => bytes / 1024 ** power);
	if (mebibytes < 1) return `${Math.round(kibibytes)} KiB`;
	return gibibytes < 1 ? `${mebibytes.toFixed(1)} MiB` : `${gibibytes.toFixed(1)} GiB`;
}
