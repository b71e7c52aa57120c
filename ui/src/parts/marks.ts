/**
 * The marks drawn for Egret, on a 16 grid: four verdicts, the unknown ring of a rehearsal, and the egret itself.
 * Each verdict has its own outline (disc, diamond, octagon, broken ring), so it reads without colour too.
 */
export const marks = {
  registered:
    '<circle cx="8" cy="8" r="6.5" fill="currentColor"/><path d="M5.1 8.2 7.2 10.2 11 6" fill="none" stroke="var(--knock)" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round"/>',
  passthrough:
    '<path d="M8 .9 15.1 8 8 15.1.9 8Z" fill="currentColor" stroke="currentColor" stroke-width=".8" stroke-linejoin="round"/><path d="M4.9 8h5.6M8.4 5.8 10.7 8 8.4 10.2" fill="none" stroke="var(--knock)" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/>',
  blocked:
    '<path d="M5.2 1.3h5.6l3.9 3.9v5.6l-3.9 3.9H5.2L1.3 10.8V5.2Z" fill="currentColor"/><path d="M5.7 5.7l4.6 4.6M10.3 5.7 5.7 10.3" fill="none" stroke="var(--knock)" stroke-width="1.7" stroke-linecap="round"/>',
  bypassed:
    '<circle cx="8" cy="9.6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.6 2.2"/><path d="M1.4 7.6C3 3 12 1.2 14.2 6.4M14.6 3.2l-.3 3.4-3.3-.6" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/>',
  unknown:
    '<circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray="1.5 2.4"/><path d="M6.2 6.4a1.9 1.9 0 1 1 2.6 2c-.5.3-.8.6-.8 1.2M8 11.6v.1" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round"/>',
  egret:
    '<path d="M.9 4.9 5.7 3.600C6.200 2.500 8.900 2.300 9.300 4.200 9.700 6.100 6.600 6.700 6.600 9.200" fill="none" stroke="currentColor" stroke-width="1.500" stroke-linecap="round" stroke-linejoin="round"/><path d="M5.900 8.700C6.400 8 7.600 8 9.400 8.700L15.300 10.900C13.500 13 10.900 13.300 9.100 12.900 6.800 12.400 5.500 10.600 5.900 8.700Z" fill="currentColor"/><path d="M9.200 12.500V15.600" stroke="currentColor" stroke-width="1.300" stroke-linecap="round"/>',
} as const;

export type MarkName = keyof typeof marks;
