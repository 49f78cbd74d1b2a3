// Stops what the server is doing for us when a signal fires, instead of waiting for its end.
import { TampError } from '../core/errors.ts'
import type { Connection } from './postgres.ts'

/** Runs something on a connection. @throws TampError `interrupted` when the signal fires, before or while it runs */
export async function cancellable<Result>(
  connection: Connection,
  signal: AbortSignal | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  throwIfInterrupted(signal)
  let cancelled: Promise<void> | undefined
  const cancel = (): void => {
    cancelled = connection.cancel()
  }
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await work()
  } catch (error) {
    if (signal?.aborted) throw interrupted(error)
    throw error
  } finally {
    signal?.removeEventListener('abort', cancel)
    await cancelled
  }
}

/** @throws TampError `interrupted` */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted(signal.reason)
}

function interrupted(cause: unknown): TampError {
  return new TampError('interrupted', 'interrupted; nothing was changed', { cause })
}
