// Where `--sql` goes. A file is there whole or not at all: it is written beside its place and moved there at the end.
import { unlinkSync } from 'node:fs'
import { open, realpath, rename, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Interruption } from './interruption.ts'
import { outputFailed } from './terminal.ts'
import type { Terminal } from './terminal.ts'

export interface ScriptOutput extends AsyncDisposable {
  /** @throws TampError `output-failed` */
  write(text: string): Promise<void>
  /** Puts the script in its place. Without this, disposing leaves nothing behind. */
  finish(): Promise<void>
}

/** @throws TampError `output-failed` at once where the file cannot be made */
export async function openScript(file: string, terminal: Terminal, interruption: Interruption): Promise<ScriptOutput> {
  if (file === '-') {
    return {
      write: (text) => terminal.outWhole(text),
      finish: async () => {},
      [Symbol.asyncDispose]: async () => {},
    }
  }
  const target = await realpath(file).catch(() => file)
  const existing = await stat(target).catch(() => undefined)
  // A device or a pipe cannot be replaced: it is written to as it is.
  const replaced = existing === undefined || existing.isFile()
  const partial = replaced ? `${target}.partial` : target
  const guarded = async <Result>(act: () => Promise<Result>): Promise<Result> => {
    try {
      return await act()
    } catch (error) {
      throw outputFailed(file, error as NodeJS.ErrnoException)
    }
  }
  const handle = await guarded(() => open(partial, 'w'))
  let state: 'open' | 'closed' | 'finished' = 'open'
  if (replaced)
    interruption.lastly(() => {
      if (state !== 'finished') unlinkSync(partial)
    })
  const close = async (): Promise<void> => {
    if (state !== 'open') return
    state = 'closed'
    await handle.close()
  }
  return {
    write: (text) => guarded(() => handle.writeFile(text)),
    async finish() {
      await guarded(async () => {
        if (replaced) await handle.sync()
        await close()
        if (!replaced) return
        await rename(partial, target)
        state = 'finished'
        await syncDirectory(dirname(target))
      })
    },
    async [Symbol.asyncDispose]() {
      await close().catch(() => {})
      if (replaced && state !== 'finished') await unlink(partial).catch(() => {})
    },
  }
}

/** Without this the new name may be lost when the power goes. Not every file system lets a directory be synced. */
async function syncDirectory(directory: string): Promise<void> {
  let handle: FileHandle | undefined
  try {
    handle = await open(directory, 'r')
    await handle.sync()
  } catch {
    // The file itself is safe.
  } finally {
    await handle?.close()
  }
}
