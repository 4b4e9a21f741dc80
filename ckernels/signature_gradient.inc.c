/* plain gradient, to be replaced */
static i64 AS_T(sig_len)(i64 c, i64 n){ i64 s=0,p=1; for(i64 k=1;k<=n;k++){ p*=c; s+=p; } return s; }
static void AS_T(sig_step)(REAL *S, REAL *tmp, const REAL *z, i64 c, i64 N)
{
    i64 off[64], pw[64]; off[0]=0; pw[0]=1; i64 o=0; for(i64 k=1;k<=N;k++){ pw[k]=pw[k-1]*c; off[k]=o; o+=pw[k]; }
    for(i64 k=N;k>=1;k--){ /* Horner */
        REAL *cur=tmp, *nxt=tmp+pw[N]; cur[0]=1;
        for(i64 i=1;i<=k;i++){ for(i64 u=0;u<pw[i-1];u++) for(i64 a=0;a<c;a++) nxt[u*c+a]=cur[u]*z[a]/(REAL)(k-i+1)+(i<k?S[off[i]+u*c+a]:0); REAL*t=cur;cur=nxt;nxt=t; }
        for(i64 w=0;w<pw[k];w++) S[off[k]+w]+=cur[w];
    }
}
int AS_ENTRY_NAME(sig_vjp)(const REAL *grad, const REAL *path, REAL *out, i64 batch, i64 length, i64 dimension, i64 degree, i64 time_aug, i64 lead_lag, double end_time, i64 scalar_term, int threads, i64 *control)
{
    i64 pts=AS_T(as_points)(length,lead_lag), c=AS_T(as_channels)(dimension,time_aug,lead_lag), len=AS_T(sig_len)(c,degree), n=pts-1;
    REAL *m=malloc(sizeof(REAL)*(size_t)((n+1)*(len+1)+4*(len+1)+2*c+pts*c)); if(!m) return AS_OUT_OF_MEMORY; (void)threads;
    REAL *P=m,*tmp=P+(n+1)*(len+1),*G=tmp+2*(len+1),*E=G+len+1,*z=E+len+1,*zb=z+c,*gp=zb+c;
    i64 off[65], pw[65]; off[0]=0; pw[0]=1; off[1]=1; for(i64 k=1;k<=degree;k++){ pw[k]=pw[k-1]*c; off[k+1]=off[k]+pw[k]; }
    for(i64 b=0;b<batch;b++){ if(as_cancelled(control)) break; const REAL*x=path+b*length*dimension;
        for(i64 i=0;i<=len;i++) P[i]=i==0;
        for(i64 t=0;t<n;t++){ memcpy(P+(t+1)*(len+1),P+t*(len+1),sizeof(REAL)*(size_t)(len+1)); for(i64 a=0;a<c;a++) z[a]=AS_T(as_point)(x,t+1,a,pts,dimension,lead_lag,(REAL)end_time)-AS_T(as_point)(x,t,a,pts,dimension,lead_lag,(REAL)end_time); if(degree) AS_T(sig_step)(P+(t+1)*(len+1)+1,tmp,z,c,degree); }
        G[0]=0; memcpy(G+1,grad+b*(len+scalar_term)+scalar_term,sizeof(REAL)*(size_t)len);
        for(i64 i=0;i<pts*c;i++) gp[i]=0;
        for(i64 t=n-1;t>=0;t--){ const REAL*S=P+t*(len+1); for(i64 a=0;a<c;a++){ z[a]=AS_T(as_point)(x,t+1,a,pts,dimension,lead_lag,(REAL)end_time)-AS_T(as_point)(x,t,a,pts,dimension,lead_lag,(REAL)end_time); zb[a]=0; }
            E[0]=1; for(i64 k=1;k<=degree;k++) for(i64 u=0;u<pw[k-1];u++) for(i64 a=0;a<c;a++) E[off[k]+u*c+a]=E[off[k-1]+u]*z[a]/(REAL)k;
            REAL*Eb=tmp; for(i64 i=0;i<=len;i++) Eb[i]=0;
            for(i64 k=1;k<=degree;k++) for(i64 j=1;j<=k;j++) for(i64 u=0;u<pw[k-j];u++) for(i64 v=0;v<pw[j];v++) Eb[off[j]+v]+=G[off[k]+u*pw[j]+v]*S[off[k-j]+u];
            for(i64 i=0;i<=degree;i++) for(i64 u=0;u<pw[i];u++) for(i64 j=1;i+j<=degree;j++) for(i64 v=0;v<pw[j];v++) G[off[i]+u]+=G[off[i+j]+u*pw[j]+v]*E[off[j]+v];
            for(i64 k=degree;k>=1;k--) for(i64 u=0;u<pw[k-1];u++) for(i64 a=0;a<c;a++){ zb[a]+=Eb[off[k]+u*c+a]*E[off[k-1]+u]/(REAL)k; Eb[off[k-1]+u]+=Eb[off[k]+u*c+a]*z[a]/(REAL)k; }
            for(i64 a=0;a<c;a++){ gp[(t+1)*c+a]+=zb[a]; gp[t*c+a]-=zb[a]; } }
        for(i64 i=0;i<length;i++) for(i64 a=0;a<dimension;a++) out[(b*length+i)*dimension+a]=AS_T(as_point_adjoint)(gp,i,a,pts,c,dimension,lead_lag);
    }
    free(m); return as_cancelled(control)?AS_CANCELLED:AS_OK;
}
