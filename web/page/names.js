/** What people call themselves and their rooms. */

import { t } from "./text.js";

/** Characters of a name or a room: the relay's rule. */
export const LONGEST = 64;
/** Turns between two colours on the wheel, so that neighbours differ. */
const GOLDEN_DEGREES = 137.5;

const UNSEEN = /[\p{Default_Ignorable_Code_Point}\p{Bidi_Control}]/u;
const SHAPING = /[\u200c\u200d\u180b-\u180d\u180f\ufe00-\ufe0f\u{e0020}-\u{e007f}\u{e0100}-\u{e01ef}]/u;

/** The name as the relay tells it to others: without what cannot be seen, or would turn words round. */
export function cleanName(text) {
	let clean = "";
	let shapes = false;
	for (const char of String(text).normalize("NFC").replace(/\p{Cc}/gu, " ")) {
		const unseen = UNSEEN.test(char);
		if (unseen && !(shapes && SHAPING.test(char))) continue;
		clean += char;
		if (!unseen) shapes = char.trim() !== "";
	}
	return clean.trim();
}

export function lengthOf(text) {
	return [...text].length;
}

/** Each member's name as it is shown: who has none is a guest, and of two of one name the later is the second. */
export function shownNames(members) {
	const counts = new Map();
	const shown = new Map();
	for (const { key, name } of members) {
		const base = cleanName(name) || t("someone");
		const count = (counts.get(base) ?? 0) + 1;
		counts.set(base, count);
		shown.set(key, count === 1 ? base : `${base} ${count}`);
	}
	return shown;
}

/** Each member's own colour; whoever has no key keeps the usual one. */
export function colour(element, key) {
	if (key > 0) element.style.setProperty("--hue", Math.round(key * GOLDEN_DEGREES) % 360);
}

/** 59 bits. */
const DIGIT_GROUPS = 6;

/** A room name to say on the telephone, which nobody can guess: 48 random bits as syllables; in Chinese digits. */
export function speakableName(lang = "en") {
	if (lang === "zh") return digits();
	// 16 consonants and 4 vowels, so each byte gives one syllable, and all are equally likely.
	const syllable = (byte) => "bdfghjklmnrstvwy"[byte >> 4] + "aiou"[byte & 3];
	const syllables = Array.from(crypto.getRandomValues(new Uint8Array(8)), syllable);
	return syllables.join("").match(/.{4}/g).join("-");
}

function digits() {
	const groups = [];
	while (groups.length < DIGIT_GROUPS) {
		const [random] = crypto.getRandomValues(new Uint16Array(1));
		if (random < 65_000) groups.push(String(random % 1_000).padStart(3, "0")); // 65 of each
	}
	return groups.join("-");
}
