// Numbers, sizes, times and names from a database as an operator reads them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 })

/** 1426 → `1,426`. */
export function count(value: number): string {
  return whole.format(value)
}

/** 47.52 → `47.5`. */
export function mean(value: number): string {
  return tenths.format(value)
}

/** `1 row`, `1,426 rows`. */
export function counted(value: number, one: string, many: string = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

/** The part as a share of the whole: `65.5 %`. */
export function percent(part: number, of: number): string {
  return `${tenths.format(of === 0 ? 0 : (100 * part) / of)} %`
}

/** Bytes in the units PostgreSQL prints: `304 kB`, `12.1 GB`. */
export function bytes(value: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  while (Math.abs(value) >= (unit === 0 ? 10_240 : 1024) && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit > 0 && Math.abs(value) < 100 ? tenths.format(value) : whole.format(value)} ${units[unit]}`
}

/** Seconds that have passed: `0.4 s`, `2 min 05 s`, `3 h 20 min`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? tenths.format(seconds) : whole.format(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, '0')} s`
  return `${whole.format(Math.floor(minutes / 60))} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** Seconds to come, as roughly as they are known. */
export function remaining(seconds: number): string {
  if (seconds < 60) return `about ${Math.max(1, Math.ceil(seconds / 5) * 5)} s left`
  if (seconds < 5400) return `about ${Math.ceil(seconds / 60)} min left`
  return `about ${tenths.format(seconds / 3600)} h left`
}

/** A text from a database or a file, safe for a terminal: room ids are made up by other servers. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** As a sentence: one line, a capital at its start, a full stop at its end. What has one is a sentence, and may begin with a name. */
export function sentence(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ')
  if (/[.!?:]$/.test(line)) return line
  const capital = /^[a-z]+[ ,]/.test(line) ? line.charAt(0).toUpperCase() + line.slice(1) : line
  return `${capital}.`
}
