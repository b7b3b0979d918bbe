/**
 * What this person sends: microphone, camera, screen. No DOM.
 *
 * Failures have one word each, which text.js explains.
 */
/** Height and frames a second, by the number of others: each costs an encoder. */
const SIZES = [[1, 720, 30], [3, 540, 24], [5, 360, 20], [Infinity, 270, 15]];
const MICROPHONE = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const WORDS = {
	NotAllowedError: "denied",
	SecurityError: "denied",
	NotFoundError: "none",
	OverconstrainedError: "none",
	NotReadableError: "busy",
	AbortError: "busy",
};

export class LocalMedia {
	microphone = null;
	camera = null;
	screen = null;
	muted = false;
	problems = { microphone: null, camera: null };
	chosen = { microphone: "", camera: "", speaker: "" };
	onchange = () => {};

	#meter = null;
	#size = SIZES[0];
	#asked = 0;
	#facing = "";

	constructor() {
		navigator.mediaDevices?.addEventListener?.("devicechange", () => this.onchange());
	}

	static get canShareScreen() {
		return Boolean(navigator.mediaDevices?.getDisplayMedia);
	}

	async canFlip() {
		return matchMedia("(pointer: coarse)").matches && (await this.devices()).camera.length > 1;
	}

	async flip() {
		const front = this.camera?.getSettings().facingMode !== "environment";
		this.#facing = front ? "environment" : "user";
		this.chosen.camera = "";
		await this.#restart("camera");
	}

	get tracks() {
		return { audio: this.microphone, video: this.screen ?? this.camera };
	}

	get described() {
		const video = this.screen ? "screen" : this.camera ? "camera" : "off";
		return { audio: Boolean(this.microphone) && !this.muted, video };
	}

	/** Asks for both at once, which is one prompt; then for each apart if that fails. */
	async start(wanted) {
		if (wanted.microphone && wanted.camera) {
			const both = await this.#ask(["microphone", "camera"]);
			if (!both) return this.onchange();
			if (both === "denied" && !(await anyGranted())) {
				this.problems = { microphone: both, camera: both };
				return this.onchange();
			}
		}
		for (const kind of ["camera", "microphone"]) {
			if (!wanted[kind] || this[kind]) continue;
			this.problems[kind] = await this.#ask([kind]);
		}
		this.onchange();
	}

	fit(others) {
		const size = SIZES.find(([most]) => others <= most);
		if (size === this.#size) return;
		this.#size = size;
		this.camera?.applyConstraints(this.#picture()).catch(() => {}); // goes on as it is
	}

	#picture() {
		const [, height, fps] = this.#size;
		const facing = this.#facing ? { facingMode: { ideal: this.#facing } } : {};
		return { ...facing, width: { ideal: (height * 16) / 9 }, height: { ideal: height }, frameRate: { ideal: fps, max: fps } };
	}

	stop(kind) {
		this.#drop(kind);
		this.problems[kind] = null;
		this.onchange();
	}

	stopAll() {
		this.#asked += 1;
		for (const kind of ["microphone", "camera", "screen"]) this.#drop(kind);
		this.onchange();
	}

	setMuted(muted) {
		this.muted = muted;
		if (this.microphone) this.microphone.enabled = !muted;
		this.onchange();
	}

	async choose(kind, deviceId) {
		this.chosen[kind] = deviceId;
		if (kind === "camera") this.#facing = "";
		await this.#restart(kind);
	}

	async #restart(kind) {
		if (!this[kind]) return;
		this.#drop(kind);
		this.problems[kind] = await this.#ask([kind]);
		this.onchange();
	}

	async shareScreen() {
		let stream;
		try {
			stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: false });
		} catch {
			return; // the person thought better of it
		}
		this.#drop("screen");
		this.screen = stream.getVideoTracks()[0];
		this.screen.contentHint = "detail";
		this.screen.onended = () => this.stop("screen"); // the browser's own "stop sharing" bar
		this.onchange();
	}

	async devices() {
		const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
		const of = (kind) => all.filter((device) => device.kind === kind && device.deviceId);
		return { microphone: of("audioinput"), camera: of("videoinput"), speaker: of("audiooutput") };
	}

	level() {
		const meter = this.microphone && !this.muted && this.#listen();
		if (!meter) return 0;
		meter.analyser.getFloatTimeDomainData(meter.samples);
		let sum = 0;
		for (const sample of meter.samples) sum += sample * sample;
		const decibels = 10 * Math.log10(sum / meter.samples.length + 1e-9);
		return Math.min(1, Math.max(0, (decibels + 60) / 50));
	}

	#listen() {
		if (this.#meter?.track === this.microphone) return this.#meter;
		this.#meter?.source.disconnect();
		try {
			const context = this.#meter?.context ?? new AudioContext();
			context.resume();
			const source = context.createMediaStreamSource(new MediaStream([this.microphone]));
			const analyser = context.createAnalyser();
			analyser.fftSize = 1024;
			source.connect(analyser);
			this.#meter = { track: this.microphone, context, source, analyser, samples: new Float32Array(1024) };
		} catch {
			this.#meter = null;
		}
		return this.#meter;
	}

	async #ask(kinds) {
		if (!navigator.mediaDevices?.getUserMedia) return "insecure";
		const asked = this.#asked;
		const constraints = (exact) => {
			const want = (kind, base) =>
				kinds.includes(kind) && (exact && this.chosen[kind] ? { ...base, deviceId: { exact: this.chosen[kind] } } : base);
			return { audio: want("microphone", MICROPHONE), video: want("camera", this.#picture()) };
		};
		try {
			const give = (exact) => navigator.mediaDevices.getUserMedia(constraints(exact));
			const stream = await give(true).catch((error) => {
				if (error.name !== "OverconstrainedError") throw error;
				return give(false); // the remembered device is gone
			});
			const late = asked !== this.#asked; // they hung up while the browser was asking
			for (const track of stream.getTracks()) late ? track.stop() : this.#take(track);
			return null;
		} catch (error) {
			if (error.name === "NotAllowedError" && kinds.some(forbiddenByFrame)) return "embedded";
			return WORDS[error.name] ?? "other";
		}
	}

	#take(track) {
		const kind = track.kind === "audio" ? "microphone" : "camera";
		this.#drop(kind);
		this[kind] = track;
		this.problems[kind] = null;
		if (kind === "microphone") track.enabled = !this.muted;
		track.onended = () => {
			if (this[kind] !== track) return;
			this[kind] = null;
			this.problems[kind] = "unplugged";
			this.onchange();
		};
	}

	#drop(kind) {
		const track = this[kind];
		this[kind] = null;
		if (!track) return;
		track.onended = null;
		track.stop();
	}
}

/** A refusal of both may be a refusal of one. */
async function anyGranted() {
	const granted = (name) => navigator.permissions?.query({ name }).then(({ state }) => state === "granted", () => false);
	return (await granted("microphone")) || granted("camera");
}

function forbiddenByFrame(kind) {
	const policy = document.permissionsPolicy ?? document.featurePolicy;
	return globalThis.top !== globalThis && policy?.allowsFeature?.(kind) === false;
}
