/** Choosing devices before the call and in it, and saying what is wrong with them. */
import { make, setTool } from "./dom.js";
import { nodes, t } from "./text.js";

const KINDS = ["microphone", "camera", "speaker"];

export class DevicePickers {
	#media;
	#selects = {};

	constructor(container, media, onchoose) {
		this.#media = media;
		for (const kind of KINDS) {
			if (kind === "speaker" && !("setSinkId" in HTMLMediaElement.prototype)) continue;
			const id = `${container.id}-${kind}`;
			const select = make("select", { id, onchange: () => onchoose(kind, select.value) });
			this.#selects[kind] = select;
			const label = make("label", { htmlFor: id, dataset: { t: kind } }, t(kind));
			container.append(make("div", {}, label, select));
		}
		this.refresh();
	}

	async refresh() {
		const devices = await this.#media.devices();
		for (const [kind, select] of Object.entries(this.#selects)) {
			const real = devices[kind].filter(({ deviceId }) => deviceId !== "default" && deviceId !== "communications");
			const options = real.map(({ deviceId, label }, at) =>
				make("option", { value: deviceId }, label || `${t(kind)} ${at + 1}`),
			);
			select.replaceChildren(make("option", { value: "" }, t("default_device")), ...options);
			const inUse = this.#media[kind]?.getSettings?.().deviceId;
			const wish = this.#media.chosen[kind] || (real.length > 1 ? inUse : "");
			select.value = real.some(({ deviceId }) => deviceId === wish) ? wish : "";
			select.disabled = real.length === 0;
		}
	}
}

export function showSending(mic, cam, { microphone, camera }, audio) {
	setTool(mic, audio ? "mic" : "mic-off", t(microphone ? (audio ? "mute" : "unmute") : audio ? "mic_stop" : "mic_start"));
	setTool(cam, camera ? "cam" : "cam-off", t(camera ? "cam_stop" : "cam_start"));
	mic.dataset.on = Boolean(audio);
	cam.dataset.on = Boolean(camera);
}

export function deviceProblems({ problems }) {
	const { microphone, camera } = problems;
	if (microphone && microphone === camera) {
		return [{ device: "microphone camera", problem: microphone, kind: t("camera_microphone") }];
	}
	return ["camera", "microphone"]
		.filter((device) => problems[device])
		.map((device) => ({ device, problem: problems[device], kind: t(device) }));
}

export function notice({ device, problem, key = problem, more = [], ...values }, ...buttons) {
	return make(
		"div",
		{ className: "notice", dataset: { device, problem } },
		make("strong", {}, ...nodes(`p_${key}`, values)),
		make("p", {}, ...nodes(`p_${key}_text`, values)),
		...more,
		...buttons.map(([text, onclick]) => make("button", { type: "button", className: "plain", onclick }, t(text))),
	);
}
