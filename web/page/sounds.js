/** Short sounds, made here: nothing to load. */

import { Store } from "./dom.js";

const TONES = {
	knock: [[587, 0], [587, 0.18], [784, 0.36]],
	came: [[523, 0], [659, 0.12]],
	went: [[659, 0], [523, 0.12]],
	message: [[880, 0]],
};
const TONE_SECONDS = 0.16;
const LOUDNESS = 0.12;

let context = null;

export function chime(name) {
	if (Store.get("sounds") === "off") return;
	try {
		context ??= new AudioContext();
		context.resume().catch(() => {});
		for (const [hertz, start] of TONES[name]) tone(hertz, context.currentTime + start);
	} catch {
		// A machine without sound.
	}
}

function tone(hertz, at) {
	const gain = context.createGain();
	gain.gain.setValueAtTime(LOUDNESS, at);
	gain.gain.exponentialRampToValueAtTime(0.001, at + TONE_SECONDS);
	gain.connect(context.destination);
	const oscillator = context.createOscillator();
	oscillator.frequency.value = hertz;
	oscillator.connect(gain);
	oscillator.start(at);
	oscillator.stop(at + TONE_SECONDS);
}
