// A unit is the smallest change that is whole on its own; its outcome says what became of it.

/** The smallest change that is whole on its own. Units of one lane run in sequence, lanes run side by side. */
export interface Unit {
  /** What the unit belongs to: a room, a bucket, a column. */
  readonly lane: string
}

/** Something that was left as it is, and why. */
export interface Left {
  readonly subject: string
  readonly reason: string
}

/** What became of a unit. Nothing is ever half done: a unit that is not `done` has left the database as it was. */
export type Outcome =
  | {
      readonly status: 'done'
      /** Items of the unit that were left as they are, because they are no longer as the plan found them. */
      readonly left: readonly Left[]
      /** Answers that were asked for with the reader's own query, before and after. */
      readonly checked: number
    }
  | { readonly status: 'skipped'; readonly reason: string }
  | { readonly status: 'failed'; readonly reason: string; readonly proof: boolean }
