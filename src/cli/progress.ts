// Progress on standard error: a bar with the time that is left on a terminal, a line every few seconds elsewhere.
import type { TampEvent } from '../core/events.ts'
import { count, mean, printable, remaining } from './figures.ts'
import type { Terminal } from './terminal.ts'

type Status = TampEvent & { readonly type: 'status' }

const drawSeconds = 0.1
const lineSeconds = 5
const barWidth = 24

export interface ProgressOptions {
  /** `null` shows nothing. */
  readonly show: 'auto' | 'bar-only' | null
  /** What is said until the first figure is there. */
  readonly beginning: string
  /** What `unitsDone` counts. */
  readonly units: string
}

export class Progress implements Disposable {
  readonly #terminal: Terminal
  readonly #options: ProgressOptions
  readonly #mode: 'bar' | 'lines' | 'none'
  readonly #timer: NodeJS.Timeout | undefined
  #status: Status | undefined
  #lane = ''
  #drawn = 0
  #said = performance.now()
  #visible = false

  constructor(terminal: Terminal, options: ProgressOptions) {
    this.#terminal = terminal
    this.#options = options
    this.#mode =
      options.show === null ? 'none' : terminal.drawable ? 'bar' : options.show === 'bar-only' ? 'none' : 'lines'
    if (this.#mode === 'none') return
    // A room can take minutes to read: the time must go on meanwhile.
    this.#timer = setInterval(() => this.#tell(), this.#mode === 'bar' ? 500 : 1000)
    this.#timer.unref()
    if (this.#mode === 'bar') this.#draw()
  }

  hear(event: TampEvent): void {
    if (event.type === 'reading') this.#lane = event.lane
    if (event.type === 'status') this.#status = event
    this.#tell()
  }

  #tell(): void {
    const now = performance.now()
    if (this.#mode === 'bar' && now - this.#drawn >= drawSeconds * 1000) this.#draw()
    if (this.#mode === 'lines' && now - this.#said >= lineSeconds * 1000) {
      this.#said = now
      this.#terminal.err(`${this.#words().join(', ')}\n`)
    }
  }

  #words(): string[] {
    const { beginning, units } = this.#options
    const status = this.#status
    if (status === undefined) return [beginning]
    return [
      `${mean(status.percentDone)} %`,
      ...(status.unitsDone > 0 ? [`${count(status.unitsDone)} ${units}`] : []),
      ...(status.secondsRemaining === null || status.percentDone >= 100 ? [] : [remaining(status.secondsRemaining)]),
      ...(status.waiting === null
        ? []
        : [/^waiting\b/.test(status.waiting) ? status.waiting : `waiting: ${status.waiting}`]),
      ...(this.#lane === '' || status.percentDone >= 100 ? [] : [printable(this.#lane)]),
    ]
  }

  #draw(): void {
    this.#drawn = performance.now()
    const share = (this.#status?.percentDone ?? 0) / 100
    const filled = Math.round(share * barWidth)
    const bar = this.#status === undefined ? '' : '█'.repeat(filled) + '░'.repeat(barWidth - filled) + ' '
    const line = bar + this.#words().join(' · ')
    this.#terminal.err(`\r\u001b[2K${line.slice(0, this.#terminal.columns - 1)}`)
    this.#visible = true
  }

  /** Takes the bar away, so that something else can be printed. */
  clear(): void {
    if (this.#visible) this.#terminal.err('\r\u001b[2K')
    this.#visible = false
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.clear()
  }
}
