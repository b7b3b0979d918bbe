// What a person sees and hears of a page. Put in front of every script that a test runs there.

const tile = (name) => [...document.querySelectorAll(".tile")].find(({ dataset }) => dataset.name === name);

/** One look at a video: two of them tell whether it plays. */
const look = (video) => {
  if (!video) return { missing: true };
  const { width, height } = video.getBoundingClientRect();
  const seen = video.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && width * height > 0;
  const picture = `${video.videoWidth}x${video.videoHeight}`;
  const { totalVideoFrames: frames } = video.getVideoPlaybackQuality();
  return { seen, picture, paused: video.paused, frames, seconds: video.currentTime, colours: colours(video) };
};

/** How many colours the picture has: a black or frozen-grey one has few. */
const colours = (video) => {
  if (!video.videoWidth) return 0;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 36];
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const found = new Set();
  for (let at = 0; at < data.length; at += 4) found.add((data[at] >> 4) * 256 + (data[at + 1] >> 4) * 16 + (data[at + 2] >> 4));
  return found.size;
};

/** The loudest sample of the last 0.7 s of what a media element plays, and all that could keep it from being heard. */
const listen = async (video) => {
  if (!video?.srcObject) return { missing: true };
  const tracks = video.srcObject.getAudioTracks();
  const live = tracks.some(({ readyState, muted, enabled }) => readyState === "live" && !muted && enabled);
  const state = { live, muted: video.muted, volume: video.volume, paused: video.paused, loudest: 0 };
  if (!live) return state;
  globalThis.testEars ??= { context: new AudioContext(), analysers: new WeakMap() };
  const { context, analysers } = globalThis.testEars;
  const [track] = tracks;
  if (!analysers.has(track)) {
    const analyser = context.createAnalyser();
    analyser.fftSize = 32768;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    analysers.set(track, analyser);
  }
  context.resume();
  const samples = new Float32Array(32768);
  analysers.get(track).getFloatTimeDomainData(samples);
  for (const sample of samples) state.loudest = Math.max(state.loudest, Math.abs(sample));
  return { ...state, ears: context.state };
};

/** What passing messages have said since the page was opened: they go before a slow machine looks. */
globalThis.testTold ??= (() => {
  const told = [];
  const note = (records) => records.forEach(({ addedNodes }) => addedNodes.forEach((node) => told.push(node.textContent)));
  const toasts = document.querySelector("#toasts");
  if (toasts) new MutationObserver(note).observe(toasts, { childList: true });
  return told;
})();
