// The local program of FuseMax's 1-pass attention: first halves (QK, LM) run DEPTH - 1 tiles ahead of
// second halves (SUB, EXP, SLD, SLNV); a second half waits until R cycles after its own first half.
// Key tiles run inside query tiles. After the program, R + C - 2 cycles until the last element is done.
module fusemax_sequencer #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int DEPTH = 2,
    parameter int SLOT = 4,
    parameter int SZ = 16
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            en,
    input  logic            start,
    input  logic [SZ-1:0]   keys,
    input  logic [SZ-1:0]   queries,
    input  logic [SZ-1:0]   e_size,
    input  logic [SZ-1:0]   f_size,
    output logic            running,
    output logic [2:0]      op,
    output logic            first,
    output logic [2:0]      stage,
    output logic [SLOT-1:0] slot,
    output logic            key_tile_first,
    output logic [SZ-1:0]   rows_used,
    output logic [SZ-1:0]   cols_used
);
  // Index 0: the tile whose first half is issued; 1: the one whose second half is issued.
  logic [SZ-1:0] q_keys_left, q_queries_left, s_keys_left, s_queries_left;
  logic [SZ-1:0] t, keys_left, queries_left, drain;
  logic [SLOT-1:0] q_slot, s_slot, ahead;
  logic [31:0] now;
  logic [DEPTH*32-1:0] ready_at;  // local cycle from which a slot's second half may begin
  logic second, q_done, draining, waits, ends, program_done;
  logic q_last, s_last;

  always_comb begin
    keys_left = q_keys_left;
    queries_left = q_queries_left;
    slot = q_slot;
    if (second) begin
      keys_left = s_keys_left;
      queries_left = s_queries_left;
      slot = s_slot;
    end
    rows_used = keys_left;
    if (keys_left > R) rows_used = R;
    cols_used = queries_left;
    if (queries_left > C) cols_used = C;
    key_tile_first = keys_left == keys;
    q_last = q_keys_left <= R && q_queries_left <= C;
    s_last = s_keys_left <= R && s_queries_left <= C;
    waits = second && t == 0 && now < ready_at[slot*32+:32];
    op = 0;
    first = 0;
    stage = 0;
    ends = 0;
    if (running && !draining && !waits) begin
      if (!second) begin
        op = 1;
        first = t == 0;
        if (t == e_size) op = 2;
        ends = t == e_size;
      end else begin
        op = 6;
        if (t == 0) op = 3;
        if (t >= 1 && t <= 6) begin
          op = 4;
          stage = t - 1;
        end
        if (t == 7) op = 5;
        ends = t == f_size + 7;
      end
    end
    program_done = ends && second && s_last;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 0;
      draining <= 0;
      second <= 0;
      q_done <= 0;
      t <= 0;
      now <= 0;
      drain <= 0;
      ahead <= 0;
      q_slot <= 0;
      s_slot <= 0;
      ready_at <= 0;
      q_keys_left <= 0;
      q_queries_left <= 0;
      s_keys_left <= 0;
      s_queries_left <= 0;
    end else if (!running) begin
      if (start) begin
        running <= 1;
        draining <= 0;
        second <= 0;
        q_done <= 0;
        t <= 0;
        now <= 0;
        drain <= 0;
        ahead <= 0;
        q_slot <= 0;
        s_slot <= 0;
        q_keys_left <= keys;
        q_queries_left <= queries;
        s_keys_left <= keys;
        s_queries_left <= queries;
      end
    end else if (en) begin
      now <= now + 1;
      if (draining) begin
        drain <= drain + 1;
        if (drain == R + C - 3) running <= 0;
      end else if (!waits) begin
        t <= t + 1;
        if (ends) t <= 0;
        if (ends && !second) begin
          ready_at[q_slot*32+:32] <= now + R + 1;
          q_slot <= q_slot + 1;
          if (q_slot == DEPTH - 1) q_slot <= 0;
          if (q_last) q_done <= 1;
          if (q_keys_left > R) q_keys_left <= q_keys_left - R;
          else begin
            q_keys_left <= keys;
            q_queries_left <= q_queries_left - C;
          end
          // With DEPTH - 1 tiles ahead, or none left to issue, the oldest tile's second half follows.
          if (q_last || ahead == DEPTH - 1) second <= 1;
          else ahead <= ahead + 1;
        end
        if (ends && second) begin
          s_slot <= s_slot + 1;
          if (s_slot == DEPTH - 1) s_slot <= 0;
          if (s_keys_left > R) s_keys_left <= s_keys_left - R;
          else begin
            s_keys_left <= keys;
            s_queries_left <= s_queries_left - C;
          end
          if (!q_done) second <= 0;
        end
        if (program_done) begin
          draining <= 1;
          if (R + C == 2) running <= 0;
        end
      end
    end
  end
endmodule
