// Once a test run: the extension that the tests load is there before the first of them starts its clock.
import { extensionLibrary } from '../../../src/sqlite/host/extension-library.ts'

export default async function setup(): Promise<void> {
  await extensionLibrary({ tell: (sentence) => process.stdout.write(`${sentence}\n`) })
}
