/** Fixed example data of the stand-in: a small mesh on a laptop, as the bundled playground has it. */
export * from "./changes";
export * from "./compare";
export * from "./connect";
export * from "./deploy";
export * from "./policy";
export * from "./registry";
export * from "./traffic";
export * from "./probe";
export * from "./watch";
