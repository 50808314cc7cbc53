// Medians, minima and maxima.

/** @returns {{median: number, min: number, max: number}} */
export function summary(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = Number.isInteger(middle) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[Math.floor(middle)];
  return { median, min: sorted[0], max: sorted.at(-1) };
}

/** The summary of the ratios of two series, round by round. */
export function ratio(numbers, others) {
  return summary(numbers.map((number, round) => number / others[round]));
}
