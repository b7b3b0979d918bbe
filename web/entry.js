/** Before the call: the preview, the form, and what stands in the way. */
"use strict";

const METER_MS = 100;

/** A room name to say on the telephone, such as "lumo-taki-nabu-dori": 48 random bits, too many to try them all. */
function speakableName() {
	// 16 consonants and 4 vowels, so each byte gives one syllable, and all are equally likely.
	const syllable = (byte) => "bdfghjklmnrstvwy"[byte >> 4] + "aiou"[byte & 3];
	const syllables = Array.from(crypto.getRandomValues(new Uint8Array(8)), syllable);
	return syllables.join("").match(/.{4}/g).join("-");
}

class Entry {
	/** What to send; kept over hanging up. */
	wanted = { microphone: true, camera: true };
	/** What the relay said, if it refused or cannot be reached. */
	trouble = null;
	#media;
	#onjoin;
	#pickers;
	#invited;
	#busy = false;
	#asking = false;
	#left = false;
	#meter = 0;

	constructor(media, { room, name, onjoin, onchoose }) {
		this.#media = media;
		this.#onjoin = onjoin;
		this.#invited = Boolean(room);
		this.#pickers = new DevicePickers($("entry-devices"), media, onchoose);
		$("room").value = room || speakableName();
		$("name").value = name;
		$("new-room").onclick = () => {
			$("room").value = speakableName();
			this.#invited = false;
			this.render();
		};
		$("join-form").onsubmit = (event) => {
			event.preventDefault();
			this.#join();
		};
		$("watch").onclick = () => this.#watch();
		$("preview-mic").onclick = () => this.toggle("microphone");
		$("preview-cam").onclick = () => this.toggle("camera");
	}

	async open({ left = false } = {}) {
		this.#left = left;
		this.#busy = false;
		$("entry").hidden = false;
		clearInterval(this.#meter);
		this.#meter = setInterval(() => this.#showLevel(), METER_MS);
		this.render();
		if (!left) await this.ask();
	}

	close() {
		clearInterval(this.#meter);
		$("entry").hidden = true;
		$("preview-video").srcObject = null;
		$("notices").replaceChildren();
		this.#busy = false;
		this.trouble = null;
	}

	async ask() {
		this.#asking = true;
		this.render();
		await this.#media.start(this.wanted);
		this.#asking = false;
		this.render();
	}

	tell(trouble) {
		this.trouble = trouble;
		if (!trouble?.cancel) this.#busy = false;
		this.render();
	}

	render() {
		const media = this.#media;
		const room = $("room").value;
		const mode = this.#left ? "again" : this.#invited ? "join" : "new";
		$("entry-title").textContent = t(this.#left ? "s_left" : `entry_${mode}`, { room });
		$("entry-lead").textContent = t(`lead_${mode}`);
		$("join").textContent = t(this.#busy ? "joining" : "join");
		$("join").disabled = $("watch").disabled = this.#busy;
		$("preview").dataset.video = media.camera ? "on" : "off";
		$("preview-off").textContent = t(this.#asking ? "preview_asking" : "preview_off");
		const video = $("preview-video");
		if ((video.srcObject?.getVideoTracks()[0] ?? null) !== media.camera) {
			video.srcObject = media.camera ? new MediaStream([media.camera]) : null;
		}
		showSending($("preview-mic"), $("preview-cam"), media);
		this.#notices();
		this.#pickers.refresh();
	}

	#notices() {
		const notices = deviceProblems(this.#media).map((what) => notice(what, () => this.ask()));
		if (this.trouble) {
			const { retry, cancel, ...what } = this.trouble;
			notices.unshift(notice({ device: "relay", ...what }, retry ?? null, cancel));
		}
		// Screen readers read every replacement aloud.
		const text = notices.map(({ textContent }) => textContent).join("");
		if ($("notices").textContent !== text) $("notices").replaceChildren(...notices);
	}

	/** Before the call and in it. */
	async toggle(device) {
		const media = this.#media;
		if (device === "microphone" && media.microphone) return media.setMuted(!media.muted);
		this.wanted[device] = !media[device];
		if (media[device]) return media.stop(device);
		if (device === "microphone") media.muted = false;
		await ($("entry").hidden ? media.start({ [device]: true }) : this.ask());
	}

	async #join() {
		const room = $("room").value.trim();
		if (!room || this.#busy) return;
		this.#busy = true;
		this.trouble = null;
		this.render();
		const { microphone, camera } = this.#media.problems;
		const missing = { microphone: this.wanted.microphone && !microphone, camera: this.wanted.camera && !camera };
		if (this.#left) await this.#media.start(missing);
		this.#onjoin(room, $("name").value.trim());
	}

	#watch() {
		this.wanted = { microphone: false, camera: false };
		this.#media.stopAll();
		this.#join();
	}

	#showLevel() {
		const level = this.#media.level();
		$("level-bar").style.scale = `${level.toFixed(2)} 1`;
		$("level").ariaValueNow = Math.round(level * 100);
	}
}
