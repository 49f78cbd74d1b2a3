// Files of an events table for a test file, all in a folder that goes with it: new ones, and small ones at every stage that something can go
// wrong in. And connections to judge them by, which no failed test leaves open.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect } from 'vitest'
import { TampError } from '../../../src/core/errors.ts'
import { copyDatabase, temporaryFolder } from './database-files.ts'
import { eventsColumn, makeEvents } from './events-database.ts'
import type { Connection } from './events-database.ts'
import { openJudge } from './judge.ts'
import { openHost, policyOf } from './policy-host.ts'
import type { Deed } from './policy-host.ts'

export const enabling: Deed = { command: 'enable', options: eventsColumn }
export const maintaining: Deed = { command: 'maintain' }
export const disabling: Deed = { command: 'disable', options: { table: 'events', column: 'data' } }

const deeds = { plain: [], enabled: [enabling], maintained: [enabling, maintaining] } as const
export type Stage = keyof typeof deeds
export const stages = Object.keys(deeds) as readonly Stage[]

/** Rows of the table. */
export const rows = 400
export const folder: string = await temporaryFolder('tamp-stages-')
let files = 0

/** A plain table. */
export function freshFile(count: number, journal: 'delete' | 'wal'): string {
  const file = join(folder, `fresh-${++files}.db`)
  makeEvents(file, { rows: count, journal })
  return file
}

const opened: Connection[] = []
afterEach(() => {
  for (const db of opened.splice(0)) db.close()
})

/** A connection that is closed after the test. */
export function judgeOf(file: string): Connection {
  const db = openJudge(file)
  opened.push(db)
  return db
}

/** A copy of the table at that stage. @param sql run on it afterwards */
export function fileOf(stage: Stage, sql = ''): string {
  const made = join(folder, `stage-${stage}.db`)
  if (!existsSync(made)) {
    makeEvents(made, { rows })
    using host = openHost(made)
    for (const deed of deeds[stage]) host.run(policyOf(deed))
  }
  const file = join(folder, `file-${++files}.db`)
  copyDatabase(made, file)
  if (sql !== '') {
    const db = openJudge(file)
    db.unsafeMode(true)
    db.exec(sql)
    db.close()
  }
  return file
}

/** How it ended, in words. */
export function outcome(act: () => unknown): string {
  try {
    return JSON.stringify(act())
  } catch (error) {
    expect(error).toBeInstanceOf(TampError)
    return `${(error as TampError).message} ${(error as TampError).hint ?? ''}`
  }
}
