/** Choosing devices before the call and in it, and saying what is wrong with them. */
"use strict";

const KINDS = ["microphone", "camera", "speaker"];
const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

class DevicePickers {
	#media;
	#selects = {};
	#labels = {};

	constructor(container, media, onchoose) {
		this.#media = media;
		for (const kind of KINDS) {
			if (kind === "speaker" && !canChooseSpeaker) continue;
			const id = `${container.id}-${kind}`;
			const select = make("select", { id, onchange: () => onchoose(kind, select.value) });
			this.#selects[kind] = select;
			this.#labels[kind] = make("label", { htmlFor: id });
			container.append(make("div", {}, this.#labels[kind], select));
		}
		this.refresh();
	}

	/** Lists what is there now. Browsers name devices only once one of them was allowed. */
	async refresh() {
		const devices = await this.#media.devices();
		for (const [kind, select] of Object.entries(this.#selects)) {
			const name = t(kind);
			this.#labels[kind].textContent = name;
			const real = devices[kind].filter(({ deviceId }) => deviceId !== "default" && deviceId !== "communications");
			const options = real.map(({ deviceId, label }, at) =>
				make("option", { value: deviceId }, label || `${name} ${at + 1}`),
			);
			select.replaceChildren(make("option", { value: "" }, t("default_device")), ...options);
			const inUse = this.#media[kind]?.getSettings?.().deviceId;
			const wish = this.#media.chosen[kind] || (real.length > 1 ? inUse : "");
			select.value = real.some(({ deviceId }) => deviceId === wish) ? wish : "";
			select.disabled = real.length === 0;
		}
	}
}

/** The two buttons say what is sent, and what a click does. */
function showSending(mic, cam, { described, microphone, camera }) {
	setTool(mic, described.audio ? "mic" : "mic-off", t(microphone ? (described.audio ? "mute" : "unmute") : "mic_start"));
	setTool(cam, camera ? "cam" : "cam-off", t(camera ? "cam_stop" : "cam_start"));
	mic.dataset.on = described.audio;
	cam.dataset.on = Boolean(camera);
}

/** What is wrong with microphone and camera; the same problem of both is told once. */
function deviceProblems({ problems }) {
	const { microphone, camera } = problems;
	if (microphone && microphone === camera) {
		return [{ device: "microphone camera", problem: microphone, kind: t("camera_microphone") }];
	}
	return ["camera", "microphone"]
		.filter((device) => problems[device])
		.map((device) => ({ device, problem: problems[device], kind: t(device) }));
}

function notice({ device, problem, ...values }, retry, cancel) {
	const key = `p_${problem}`;
	const element = make(
		"div",
		{ className: "notice", dataset: { device, problem } },
		make("strong", {}, t(key, values)),
		make("p", {}, t(`${key}_text`, values)),
	);
	const button = (text, onclick) => element.append(make("button", { type: "button", className: "plain", onclick }, t(text)));
	if (retry && problem !== "insecure") button("retry", retry);
	if (cancel) button("cancel", cancel);
	return element;
}
