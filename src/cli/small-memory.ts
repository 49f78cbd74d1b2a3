// Keeps the process small: V8 would rather let its young generation grow to a hundred megabytes than collect it.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'

/** Bytes of young generation that pay for themselves: below, collections cost a fifth of the time. */
const enough = 8 << 20

const watch = setInterval(() => {
  const young = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space')
  if (young !== undefined && young.space_size < enough) return
  // Of V8's flags for this the one that still works in a process that runs.
  setFlagsFromString('--semi-space-growth-factor=1')
  clearInterval(watch)
}, 10)
watch.unref()
