/** What a connection is doing, in numbers for people, out of `getStats()`. */

import { selectedPair } from "../sdk/pair.js";

const PRIVATE = /^(10\.|127\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|\[?(::1|f[cd]|fe80))/i;

export async function readStats(pc, before, onlyLocal) {
	const { reports, pair, local, remote } = await selectedPair(pc);
	const of = (type, kind) => reports.filter((report) => report.type === type && (!kind || report.kind === kind));

	const totals = { at: performance.now(), bytesIn: 0, bytesOut: 0, received: 0, lost: 0 };
	for (const report of of("inbound-rtp")) {
		totals.bytesIn += report.bytesReceived ?? 0;
		totals.received += report.packetsReceived ?? 0;
		totals.lost += Math.max(0, report.packetsLost ?? 0);
	}
	for (const report of of("outbound-rtp")) totals.bytesOut += report.bytesSent ?? 0;
	const since = (key) => Math.max(0, totals[key] - (before ?? totals)[key]);
	const kbps = (bytes) => Math.round((bytes * 8) / since("at")) || 0;
	const picture = (report, bytes) => ({
		width: report?.frameWidth ?? 0,
		height: report?.frameHeight ?? 0,
		fps: Math.round(report?.framesPerSecond ?? 0),
		kbps: kbps(bytes),
	});

	const rtt = pair?.currentRoundTripTime;
	const expected = since("received") + since("lost");
	const reading = {
		path: pathOf(local, remote, onlyLocal),
		rttMs: typeof rtt === "number" ? Math.round(rtt * 1000) : null,
		lossPercent: expected > 0 ? (100 * since("lost")) / expected : null,
		received: picture(of("inbound-rtp", "video")[0], since("bytesIn")),
		sent: picture(of("outbound-rtp", "video")[0], since("bytesOut")),
		quality: "",
		totals,
	};
	reading.quality = qualityOf(reading);
	return reading;
}

/** A peer-reflexive candidate (prflx) is local if its address is, or if nothing else could be. */
function pathOf(local, remote, onlyLocal) {
	if (!local || !remote) return "";
	if (local.candidateType === "relay" || remote.candidateType === "relay") return "relay";
	const near = ({ candidateType, address }) =>
		candidateType === "host" || (candidateType === "prflx" && (onlyLocal || PRIVATE.test(address ?? "")));
	return near(local) && near(remote) ? "lan" : "nat";
}

function qualityOf({ path, rttMs, lossPercent }) {
	if (!path) return "";
	if (rttMs > 400 || lossPercent > 8) return "poor";
	return rttMs > 150 || lossPercent > 2 ? "fair" : "good";
}
