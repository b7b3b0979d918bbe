/** The oldest browsers in which the call page works; what they lack needs a fallback. */
export default ["safari 16.4", "ios_saf 16.4", "firefox 115", "chrome 109"];
