/** The pair of candidates by which a connection goes, among all that `getStats()` says. */
export async function selectedPair(pc) {
	const all = new Map();
	(await pc.getStats()).forEach((report) => all.set(report.id, report));
	const reports = [...all.values()];
	const transport = reports.find(({ type }) => type === "transport");
	const pair =
		all.get(transport?.selectedCandidatePairId) ??
		reports.find(({ type, nominated, state }) => type === "candidate-pair" && nominated && state === "succeeded");
	return { reports, pair, local: all.get(pair?.localCandidateId), remote: all.get(pair?.remoteCandidateId) };
}
