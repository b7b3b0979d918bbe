/** Before the call: the preview and the form. */

import { DevicePickers, deviceProblems, notice, showSending } from "./devices.js";
import { $, Store, make, replaceIfNew } from "./dom.js";
import { LONGEST, cleanName, lengthOf, speakableName } from "./names.js";
import { I18n, nodes, refusalKey, t } from "./text.js";

const METER_MS = 100;
const DEVICES = ["microphone", "camera"];
/** The relay's, where the host gives none. */
const NO_WORD = "the host removed you from the room";

export class Entry {
	wanted = Object.fromEntries(DEVICES.map((device) => [device, Store.get(device, "sessionStorage") !== "off"]));
	trouble = null;
	#media;
	#onjoin;
	#pickers;
	#invited;
	#busy = false;
	#asking = false;
	/** After a call: whether they left it, or were put out of it. */
	#after = "";
	#meter = 0;

	constructor(media, { room, name, onjoin, onchoose }) {
		this.#media = media;
		this.#onjoin = onjoin;
		this.#invited = Boolean(room);
		this.#pickers = new DevicePickers($("entry-devices"), media, onchoose);
		$("room").value = room || speakableName(I18n.lang);
		$("name").value = name;
		$("new-room").onclick = () => {
			$("room").value = speakableName(I18n.lang);
			this.#invited = false;
			this.render();
		};
		$("room").oninput = $("room").oncompositionend = (event) => this.#typedRoom(event);
		$("name").oninput = () => this.#showHints();
		$("join-form").onsubmit = (event) => {
			event.preventDefault();
			this.#join();
		};
		$("watch").onclick = () => this.#watch();
		$("preview-mic").onclick = () => this.toggle("microphone");
		$("preview-cam").onclick = () => this.toggle("camera");
		$("entry-more").open = innerWidth > 860 && innerHeight > 760;
	}

	async open(after = "") {
		this.#after = after;
		this.#busy = false;
		$("entry").hidden = false;
		clearInterval(this.#meter);
		this.#meter = setInterval(() => this.#showLevel(), METER_MS);
		this.render();
		if (!after) await this.ask();
	}

	close() {
		clearInterval(this.#meter);
		$("entry").hidden = true;
		$("preview-video").srcObject = null;
		$("notices").replaceChildren();
		$("password").value = "";
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
		this.#busy = Boolean(trouble?.waits);
		this.render();
		if (trouble?.problem !== "wrong_password") return;
		$("password-more").open = true;
		$("password").focus();
	}

	refused({ code, message, retryable }) {
		const key = refusalKey(code);
		const said = code === "kicked" && message && message !== NO_WORD ? [make("p", {}, ...nodes("host_says", { message }))] : [];
		const buttons = retryable ? [["retry", () => this.#join()]] : [];
		this.tell({ device: "relay", problem: code, key, code, more: said, buttons });
	}

	render() {
		const media = this.#media;
		const before = this.#invited ? "join" : "new";
		$("entry-title").replaceChildren(...nodes(this.#after ? `s_${this.#after}` : `entry_${before}`, { room: $("room").value }));
		$("entry-lead").textContent = t(`lead_${this.#after ? "after" : before}`);
		$("join").textContent = t(this.#busy ? "joining" : "join");
		$("join").disabled = $("watch").disabled = this.#busy;
		$("preview").dataset.video = media.camera ? "on" : "off";
		$("preview-off").textContent = t(this.#asking ? "preview_asking" : this.#willStart("camera") ? "preview_wanted" : "preview_off");
		const video = $("preview-video");
		if (video.srcObject?.getVideoTracks()[0] !== media.camera) video.srcObject = media.camera && new MediaStream([media.camera]);
		const shown = { microphone: media.microphone, camera: media.camera || this.#willStart("camera") };
		showSending($("preview-mic"), $("preview-cam"), shown, media.described.audio || this.#willStart("microphone"));
		this.#notices();
		this.#showHints();
		this.#pickers.refresh();
	}

	#willStart(device) {
		return this.#after && !this.#media[device] && this.wanted[device] && !this.#media.problems[device];
	}

	#notices() {
		const notices = deviceProblems(this.#media).map((what) =>
			notice(what, ...(what.problem === "insecure" ? [] : [["retry", () => this.ask()]])),
		);
		if (this.trouble) {
			const { buttons = [], waits, ...what } = this.trouble;
			notices.unshift(notice(what, ...buttons));
		}
		if (lengthOf(this.#room) > LONGEST && this.#invited) notices.unshift(notice({ device: "relay", problem: "bad_room" }));
		replaceIfNew($("notices"), ...notices);
	}

	/** What is typed becomes lower case, so that two who hear a name spell it alike. A link is taken as it is. */
	#typedRoom({ type, isComposing }) {
		if (isComposing && type === "input") return;
		const field = $("room");
		const lower = field.value.toLowerCase();
		if (lower !== field.value) {
			const at = field.selectionStart;
			field.value = lower;
			field.setSelectionRange(at, at);
		}
		this.#invited = false;
		this.render();
	}

	get #room() {
		return cleanName($("room").value);
	}

	#showHints() {
		const typed = $("name").value;
		const name = cleanName(typed);
		const long = lengthOf(name) > LONGEST;
		const changed = name !== typed.trim().normalize("NFC");
		const hint = long
			? nodes("too_long", { n: lengthOf(name) })
			: changed
				? nodes(name ? "name_seen" : "name_unseen", { name })
				: [];
		replaceIfNew($("name-hint"), ...hint);
		const roomIsLong = lengthOf(this.#room) > LONGEST;
		replaceIfNew($("room-hint"), ...(roomIsLong ? nodes("too_long", { n: lengthOf(this.#room) }) : []));
		$("name").setAttribute("aria-invalid", long);
		$("room").setAttribute("aria-invalid", roomIsLong);
	}

	async toggle(device) {
		const media = this.#media;
		if (this.#willStart(device)) return this.#want(device, false);
		if (device === "microphone" && media.microphone) {
			this.#want(device, media.muted);
			return media.setMuted(!media.muted);
		}
		this.#want(device, !media[device]);
		if (media[device]) return media.stop(device);
		if (device === "microphone") media.muted = false;
		if (!$("entry").hidden) return this.#after ? this.render() : this.ask();
		await media.start({ [device]: true });
	}

	#want(device, wanted) {
		this.wanted[device] = wanted;
		Store.set(device, wanted ? "on" : "off", "sessionStorage");
		if (!$("entry").hidden) this.render();
	}

	async #join() {
		const room = this.#room;
		const name = cleanName($("name").value);
		if (!room || this.#busy || lengthOf(room) > LONGEST || lengthOf(name) > LONGEST) return;
		this.#busy = true;
		this.trouble = null;
		this.render();
		if (this.#after) {
			const missing = Object.fromEntries(DEVICES.map((device) => [device, this.#willStart(device)]));
			if (missing.microphone) this.#media.muted = false;
			await this.#media.start(missing);
		}
		this.#onjoin({ room: this.#invited ? $("room").value : room, name, password: $("password").value });
	}

	#watch() {
		for (const device of DEVICES) this.#want(device, false);
		this.#media.stopAll();
		this.#join();
	}

	#showLevel() {
		const level = this.#media.level();
		$("level-bar").style.scale = `${level.toFixed(2)} 1`;
		$("level").setAttribute("aria-valuenow", Math.round(level * 100));
	}
}
