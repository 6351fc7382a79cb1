/*
 * void coro_context_switch(struct coro_context *from, const struct coro_context *to)
 *
 * What AAPCS64 lets a caller expect to survive a call goes to the old stack and comes from the new
 * one: x19..x28, the frame pointer x29, the return address x30, and the low halves of v8..v15. It
 * goes back by `br`, not by `ret`: a `ret` that returns to another stack's caller misses the CPU's
 * return predictor each time. fpcr is not saved: nothing here changes it.
 */
    .text
    .globl coro_context_switch
    .hidden coro_context_switch
    .type coro_context_switch, %function
    .p2align 4
coro_context_switch:
    .cfi_startproc
    sub sp, sp, #160
    .cfi_adjust_cfa_offset 160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    .cfi_rel_offset x29, 80
    .cfi_rel_offset x30, 88
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]

    mov x9, sp
    str x9, [x0]
    ldr x9, [x1]
    mov sp, x9

    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    .cfi_restore x29
    .cfi_restore x30
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    .cfi_adjust_cfa_offset -160
    mov x16, x30
    br x16
    .cfi_endproc
    .size coro_context_switch, . - coro_context_switch

    .section .note.GNU-stack, "", %progbits
