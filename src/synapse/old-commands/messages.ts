// What the old commands tell: lines of text that scripts read, with the levels of their log.

export type MessageLevel = 'error' | 'warn' | 'info' | 'debug'

export type Tell = (level: MessageLevel, text: string) => void
