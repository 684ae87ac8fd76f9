// Constraints on whole volumes (nz, nx, ny); their CPU twins are in reconstruct/constraints,
// atomic.py and tv.py.

// target = sum_k half_kernel[|k|] source moved by k along an axis (0 z, 1 x, 2 y), zero outside.
extern "C" __global__ void convolve_axis(
    const float *source, float *target, const float *half_kernel, i64 radius, i64 axis,
    i64 nz, i64 nx, i64 ny)
{
    i64 length = axis == 0 ? nz : axis == 1 ? nx : ny, stride = axis == 0 ? nx * ny : axis == 1 ? ny : 1;
    ROWS(r, nz * nx)
    {
        i64 place = axis == 0 ? r / nx : r % nx;
        ALONG_Y(y, ny)
        {
            i64 i = r * ny + y, at = axis == 2 ? y : place;
            float total = half_kernel[0] * source[i];
            for (i64 k = 1; k <= radius; ++k)
            {
                float pair = at >= k ? source[i - k * stride] : 0.0f;
                if (at + k < length) pair += source[i + k * stride];
                total += half_kernel[k] * pair;
            }
            target[i] = total;
        }
    }
}

// out = v - weight D^T p, D the forward differences (zero at the far faces) and p `(3, nz, nx, ny)`.
// out may be v.
extern "C" __global__ void tv_primal(
    const float *v, const float *p, float *out, float weight, i64 nz, i64 nx, i64 ny)
{
    i64 n = nz * nx * ny;
    ROWS(r, nz * nx)
    {
        i64 x = r % nx, z = r / nx;
        ALONG_Y(y, ny)
        {
            i64 i = r * ny + y;
            float d = 0.0f;
            if (z < nz - 1) d -= p[i];
            if (z > 0) d += p[i - nx * ny];
            if (x < nx - 1) d -= p[n + i];
            if (x > 0) d += p[n + i - ny];
            if (y < ny - 1) d -= p[2 * n + i];
            if (y > 0) d += p[2 * n + i - 1];
            out[i] = v[i] - weight * d;
        }
    }
}

// One accelerated step of the dual from the primal u: q is where it starts, p the last result.
extern "C" __global__ void tv_dual(
    const float *u, float *p, float *q, float step, float beta, i64 nz, i64 nx, i64 ny)
{
    i64 n = nz * nx * ny;
    ROWS(r, nz * nx)
    {
        i64 x = r % nx, z = r / nx;
        ALONG_Y(y, ny)
        {
            i64 i = r * ny + y;
            float here = u[i];
            float a = q[i] + (z < nz - 1 ? step * (u[i + nx * ny] - here) : 0.0f);
            float b = q[n + i] + (x < nx - 1 ? step * (u[i + ny] - here) : 0.0f);
            float c = q[2 * n + i] + (y < ny - 1 ? step * (u[i + 1] - here) : 0.0f);
            float shrink = 1.0f / fmaxf(1.0f, sqrtf(a * a + b * b + c * c));
            a *= shrink;
            b *= shrink;
            c *= shrink;
            q[i] = a + beta * (a - p[i]);
            q[n + i] = b + beta * (b - p[n + i]);
            q[2 * n + i] = c + beta * (c - p[2 * n + i]);
            p[i] = a;
            p[n + i] = b;
            p[2 * n + i] = c;
        }
    }
}
